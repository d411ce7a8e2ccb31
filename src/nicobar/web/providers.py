"""Values that handlers receive by argument name, such as the caller or the application in the path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from nicobar.web.operations import Operation, Response
from nicobar.web.parameters import Signature

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Provider(Generic[R]):
    """Supplies a value from a request. `path` has the types of the path parameters it reads."""

    supply: Callable[[R], Awaitable[object]]
    path: Mapping[str, Any] = field(default_factory=dict)


class Handlers(Generic[R]):
    """Calls the handlers of `operations`, with values from `providers` by argument name. Raises TypeError for a
    handler with a parameter that has no provider.
    """

    def __init__(self, operations: Sequence[Operation], providers: Mapping[str, Provider[R]]) -> None:
        self._providers = providers
        self._signatures = {operation: operation.signature(providers) for operation in operations}

    def signature(self, operation: Operation) -> Signature:
        kept = self._signatures.get(operation)
        if kept is None:
            kept = self._signatures[operation] = operation.signature(self._providers)
        return kept

    async def call(self, operation: Operation, request: R, arguments: Mapping[str, object]) -> Response[Any]:
        """`arguments` are the parameters and the body of the request."""
        given = {name: await self._providers[name].supply(request) for name in self.signature(operation).given}
        result = await operation.handler(**arguments, **given)
        return result if isinstance(result, Response) else Response(result)
