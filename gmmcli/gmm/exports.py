"""The model for other programs, by the original's methods: what of these describes a graph has none here."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from gmmcli.gmm.arguments import check_integer, refuse
from gmmcli.gmm.fitted import Fitted
from gmmcli.jobs.export import ExportRequest, export

_NO_GRAPH = "describes a graph, and the export has none"


class Exports(Fitted):
    """The two exports of the original, with its arguments in their order."""

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
            Without bearing: they told the original how its graph would be fed.
        input_feature_key, signature_fn, prediction_key
            Of a graph as well: an error where given.
        exports_to_keep : int, optional
            Older exports beside it are removed.
        checkpoint_path : str or int, optional
            An older checkpoint, by its file or number.

        Raises
        ------
        ValueError
            An argument makes no sense, or there is no model yet.
        GmmError
        """
        del input_fn, use_deprecated_input_fn, default_batch_size
        refuse(
            _NO_GRAPH,
            input_feature_key=input_feature_key,
            signature_fn=signature_fn,
            prediction_key=prediction_key,
        )
        return self._export(export_dir, checkpoint_path, exports_to_keep)

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
            Without bearing: a model that is a table of numbers needs no graph to be served.
        default_output_alternative_key, graph_rewrite_specs
            Of a graph as well: an error where given.
        assets_extra : mapping of str to path, optional
            Files to copy below assets.extra/, by their destination there.
        as_text : bool
            JSON; else the archive that numpy.load opens.
        checkpoint_path : str or int, optional
            An older checkpoint, by its file or number.
        exports_to_keep : int, optional
            Older exports beside it are removed.

        Raises
        ------
        ValueError
            An argument makes no sense, or there is no model yet.
        GmmError
        """
        del serving_input_fn
        refuse(
            _NO_GRAPH,
            default_output_alternative_key=default_output_alternative_key,
            graph_rewrite_specs=graph_rewrite_specs,
        )
        return self._export(export_dir_base, checkpoint_path, exports_to_keep, assets_extra, as_text=as_text)

    def _export(
        self,
        base: str | PathLike[str],
        checkpoint_path: str | int | None,
        exports_to_keep: int | None,
        assets_extra: Mapping[str, str | PathLike[str]] | None = None,
        *,
        as_text: bool = False,
    ) -> str:
        """Write an export, return its directory."""
        check_integer(1, exports_to_keep=exports_to_keep)
        stored = self._load(self._generation(checkpoint_path))
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
