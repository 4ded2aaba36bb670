"""What the end of a file's name says of its format. Imports nothing, so that the command line may ask too."""

FORMATS = ("csv", "tsv", "parquet", "arrow", "jsonl")
COMPRESSIONS = (".gz", ".bz2", ".zst")
_FORMAT = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


def find_format(name: str) -> str | None:
    """Return the format that a suffix stands for, one of compression left aside; None for any other."""
    lower = name.lower()
    for compression in COMPRESSIONS:
        lower = lower.removesuffix(compression)
    return _FORMAT.get(lower[lower.rfind(".") :]) if "." in lower else None


def is_compressed(name: str) -> bool:
    """Tell whether a name says that its content is compressed."""
    return name.lower().endswith(COMPRESSIONS)
