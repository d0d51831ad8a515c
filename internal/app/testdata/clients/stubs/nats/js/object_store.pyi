class ObjectStore:
    async def get(self, name: str) -> ObjectResult: ...

    class ObjectResult:
        data: bytes | None
