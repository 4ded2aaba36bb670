"""Print the numbers of an event file as JSON lines; check the sums of its records. Needs the extra."""

import json
import struct
import sys
from pathlib import Path

from tensorboardX.proto import event_pb2


def masked_crc(data: bytes) -> int:
    """Return the masked CRC-32C of a TFRecord, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


(path,) = sys.argv[1:]
data = Path(path).read_bytes()
while data:
    length, check = struct.unpack("<QI", data[:12])
    record, data = data[12 : 12 + length], data[12 + length :]
    assert check == masked_crc(struct.pack("<Q", length))
    assert struct.unpack("<I", data[:4]) == (masked_crc(record),)
    event = event_pb2.Event.FromString(record)
    data = data[4:]
    for value in event.summary.value:
        print(json.dumps({"step": event.step, "tag": value.tag, "value": value.simple_value}))
