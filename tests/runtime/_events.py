"""A second opinion on event files: TFRecord framing, CRC-32C and protobuf's wire format, read with the standard library.
The check is computed bit by bit from its definition, by polynomial division, not by a table or a reversed register."""
import struct


def crc32c(data):
    """The remainder of the message, its bits taken lowest first, by x^32 + ... = 0x11EDC6F41; start and end inverted."""
    register = 0xFFFFFFFF
    for byte in data:
        for k in range(8):
            top = register >> 31 ^ (byte >> k & 1)
            register = (register << 1 & 0xFFFFFFFF) ^ (0x1EDC6F41 if top else 0)
    return int(f"{register ^ 0xFFFFFFFF:032b}"[::-1], 2)


def masked(crc):
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283                      # RFC 3720, appendix B.4, and the catalogues of such checks
assert crc32c(bytes(32)) == 0x8A9136AA and crc32c(b"\xff" * 32) == 0x62A8AB43
assert crc32c(bytes(range(32))) == 0x46DD794E


def records(data):
    at = 0
    while at < len(data):
        n, check = struct.unpack_from("<QI", data, at)
        assert masked(crc32c(data[at:at + 8])) == check, f"byte {at}: the length's check"
        content = data[at + 12:at + 12 + n]
        assert len(content) == n, f"byte {at}: the record is cut off"
        assert struct.unpack_from("<I", data, at + 12 + n)[0] == masked(crc32c(content)), f"byte {at}: the content's check"
        yield content
        at += 16 + n


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return value, at


def fields(message):
    """(number, value): integers, doubles and floats as numbers, the rest as bytes"""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        wire = key & 7
        if wire == 0:
            value, at = varint(message, at)
        elif wire == 2:
            n, at = varint(message, at)
            value, at = message[at:at + n], at + n
            assert len(value) == n
        else:
            code, size = {1: ("<d", 8), 5: ("<f", 4)}[wire]
            value, at = struct.unpack_from(code, message, at)[0], at + size
        yield key >> 3, value


def read_events(path):
    """A dictionary for each record: wall, step, version, scalars (tag -> value), hparams"""
    events = []
    for record in records(path.read_bytes()):
        event = {"step": 0, "scalars": {}}
        for number, value in fields(record):
            if number == 1:
                event["wall"] = value
            elif number == 2:
                event["step"] = value
            elif number == 3:
                event["version"] = value.decode()
            elif number == 5:
                for _, item in fields(value):
                    item = dict(fields(item))
                    if 2 in item:
                        event["scalars"][item[1].decode()] = item[2]
                    else:
                        event["hparams"] = hparams(item)
        events.append(event)
    return events


def hparams(item):
    assert item[1] == b"_hparams_/session_start_info"
    assert list(fields(item[8])) == [(1, 1), (2, b"\x12\x02\x08\x00")], "an empty tensor of floats"
    plugin = dict(fields(dict(fields(item[9]))[1]))
    assert plugin[1] == b"hparams"
    values = {}
    for number, entry in fields(dict(fields(plugin[2]))[3]):
        if number == 1:
            entry = dict(fields(entry))
            (kind, value), = fields(entry[2])
            values[entry[1].decode()] = value.decode() if kind == 3 else value
    return values
