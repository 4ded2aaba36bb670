"""The user block: the first 512 bytes of a checkpoint, with magic, length and SHA-256 of the rest.

HDF5 skips the user block. It shows whether the rest is intact before HDF5 reads a byte of it.
"""

import hashlib
import io
import struct

from gmmcli.store.layout import Damage

SIZE = 512
MAGIC = b"GMMCLI\x00\x01"
_HEADER = struct.Struct("<8sQ32s")


def pack(payload: bytes | memoryview) -> bytes:
    """Return the user block of the bytes that follow it."""
    digest = hashlib.sha256(payload).digest()
    return _HEADER.pack(MAGIC, len(payload), digest).ljust(SIZE, b"\0")


def seal(image: io.BytesIO) -> bytes:
    """Write the user block to a file that has room for it; return the whole file, without a copy."""
    with image.getbuffer() as data:
        data[:SIZE] = pack(data[SIZE:])
    return image.getvalue()


def check(data: bytes) -> None:
    """Check a whole file against its user block.

    Raises
    ------
    Damage
        Says which of magic, zeros, length and digest is wrong, with numbers.
    """
    digest = check_head(data[:SIZE], len(data))
    found = hashlib.sha256(memoryview(data)[SIZE:]).digest()
    if found != digest:
        raise Damage(f"SHA-256 is {found.hex()[:16]}..., recorded is {digest.hex()[:16]}...")


def check_head(head: bytes, size_bytes: int) -> bytes:
    """Check the user block against the size of its file; return the recorded SHA-256.

    Raises
    ------
    Damage
        Says which of magic, zeros and length is wrong, with numbers.
    """
    if len(head) < SIZE:
        raise Damage(f"{len(head)} bytes long; a checkpoint has at least {SIZE}")
    magic, length, digest = _HEADER.unpack_from(head)
    if magic != MAGIC:
        raise Damage("does not begin with the magic bytes of a checkpoint")
    if any(head[_HEADER.size :]):
        raise Damage("bytes 48 to 511 of the user block are not zero")
    if length != size_bytes - SIZE:
        raise Damage(f"{size_bytes - SIZE} bytes after the user block, recorded are {length}")
    return bytes(digest)
