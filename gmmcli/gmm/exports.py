"""Export by the original's methods. Arguments that describe a TensorFlow graph are refused."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from gmmcli.gmm.arguments import check_integer, check_path, refuse
from gmmcli.gmm.fitted import Fitted
from gmmcli.jobs.export import ExportRequest, export

_NO_GRAPH = "is not supported: it describes a TensorFlow graph"


class Exports(Fitted):
    """The two export methods of the original, with its arguments in their order."""

    def export(
        self,
        export_dir: str | PathLike[str],
        input_fn: Any = None,
        input_feature_key: str | None = None,
        use_deprecated_input_fn: bool = True,
        signature_fn: Any = None,
        prediction_key: str | None = None,
        default_batch_size: int = 1,
        exports_to_keep: int | None = None,
        checkpoint_path: str | int | None = None,
    ) -> str:
        """Write the model for numpy.load to a new directory `export_dir`/SECONDS; return its path.

        Parameters
        ----------
        export_dir : path
        input_fn, use_deprecated_input_fn, default_batch_size
            Ignored: they described the input of the original's graph.
        input_feature_key, signature_fn, prediction_key
            An error if given: they describe a graph.
        exports_to_keep : int, optional
            Keep the newest N exports in `export_dir`, and remove older ones.
        checkpoint_path : str or int, optional
            An older checkpoint, by the path of its file or by its number.

        Raises
        ------
        ValueError
            An argument cannot be used, or there is no model yet.
        GmmError
        """
        del input_fn, use_deprecated_input_fn, default_batch_size
        refuse(
            _NO_GRAPH,
            input_feature_key=input_feature_key,
            signature_fn=signature_fn,
            prediction_key=prediction_key,
        )
        return self._export("export_dir", export_dir, checkpoint_path, exports_to_keep)

    def export_savedmodel(
        self,
        export_dir_base: str | PathLike[str],
        serving_input_fn: Any = None,
        default_output_alternative_key: str | None = None,
        assets_extra: Mapping[str, str | PathLike[str]] | None = None,
        as_text: bool = False,
        checkpoint_path: str | int | None = None,
        graph_rewrite_specs: Any = None,
        *,
        exports_to_keep: int | None = None,
    ) -> str:
        """Write the model to a new directory `export_dir_base`/SECONDS; return its path.

        Parameters
        ----------
        export_dir_base : path
        serving_input_fn
            Ignored: it described the input of the original's graph.
        default_output_alternative_key, graph_rewrite_specs
            An error if given: they describe a graph.
        assets_extra : mapping of str to path, optional
            Files to copy to assets.extra/: a path there, and the path of the source.
        as_text : bool
            Write JSON; by default, an archive for numpy.load.
        checkpoint_path : str or int, optional
            An older checkpoint, by the path of its file or by its number.
        exports_to_keep : int, optional
            Keep the newest N exports in `export_dir_base`, and remove older ones.

        Raises
        ------
        ValueError
            An argument cannot be used, or there is no model yet.
        GmmError
        """
        del serving_input_fn
        refuse(
            _NO_GRAPH,
            default_output_alternative_key=default_output_alternative_key,
            graph_rewrite_specs=graph_rewrite_specs,
        )
        name = "export_dir_base"
        return self._export(
            name, export_dir_base, checkpoint_path, exports_to_keep, assets_extra, as_text=as_text
        )

    def _export(
        self,
        name: str,
        base: str | PathLike[str],
        checkpoint_path: str | int | None,
        exports_to_keep: int | None,
        assets_extra: Mapping[str, str | PathLike[str]] | None = None,
        *,
        as_text: bool = False,
    ) -> str:
        """Write an export to the folder that the argument `name` gives; return its directory."""
        check_path(name, base)
        check_integer(1, exports_to_keep=exports_to_keep)
        stored = self._load(checkpoint_path)
        request = ExportRequest(
            self._directory(),
            "json" if as_text else "npz",
            export_dir=Path(base),
            exports_to_keep=exports_to_keep,
            assets_extra=tuple((key, Path(value)) for key, value in (assets_extra or {}).items()),
            as_text=as_text,
            checkpoint=stored.generation,
        )
        return str(export(request).directory)
