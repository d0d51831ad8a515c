class Msg:
    headers: dict[str, str] | None

    @property
    def metadata(self) -> Metadata: ...

    class Metadata:
        sequence: SequencePair
        num_pending: int

        class SequencePair:
            consumer: int
            stream: int
