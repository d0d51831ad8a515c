from dataclasses import dataclass
from enum import Enum

class AckPolicy(str, Enum):
    NONE = "none"

class DeliverPolicy(str, Enum):
    BY_START_SEQUENCE = "by_start_sequence"

@dataclass
class ConsumerConfig:
    name: str | None = None
    deliver_policy: DeliverPolicy | None = None
    opt_start_seq: int | None = None
    ack_policy: AckPolicy | None = None
    filter_subject: str | None = None
    headers_only: bool | None = None
    mem_storage: bool | None = None
    num_replicas: int | None = None
    inactive_threshold: float | None = None

class SequenceInfo:
    consumer_seq: int
    stream_seq: int

class ConsumerInfo:
    delivered: SequenceInfo | None

class PubAck:
    stream: str
    seq: int
    duplicate: bool | None

class RawStreamMsg:
    data: bytes | None

class StreamState:
    last_seq: int

class StreamInfo:
    state: StreamState
