"""What a client sent, decoded strictly: whatever cannot be a GraphQL request is refused here with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import parse_qsl

import msgspec

from app.domain.errors import Violation

MAX_INTEGER_DIGITS = 40
MAX_VARIABLE_DEPTH = 50
MAX_OPERATION_NAME = 200
_INFINITE = (float("inf"), float("-inf"))
_GET_PARAMETERS = frozenset({"query", "operationName", "variables", "extensions"})


class BadRequest(Exception):
    """The request cannot be read. `message` is for a person; `violations` name what in it is wrong."""

    def __init__(self, message: str, violations: tuple[Violation, ...] = (), *, malformed: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.violations = violations
        self.malformed = malformed
        """Not a request at all, as opposed to a request with a text in it that we do not take."""


@dataclass(slots=True)
class GraphQLRequest:
    query: str
    operation_name: str | None = None
    variables: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Decoded:
    """A JSON value. Not `clean`: some string in it has half of a surrogate pair, so it cannot be sent on."""

    value: object
    clean: bool = True


def decode_json(raw: bytes) -> Decoded:
    """Strict JSON (RFC 8259): UTF-8, no NaN or Infinity, integers of at most 40 digits, bounded nesting.

    Lone surrogates are let through, marked as such, so that the refusal can name where they are.
    """
    try:
        return Decoded(msgspec.json.decode(raw))
    except RecursionError:
        raise BadRequest("The JSON is nested too deeply.") from None
    except UnicodeDecodeError:
        raise BadRequest("The request is not valid UTF-8.") from None
    except msgspec.ValidationError:
        raise BadRequest("The JSON has a number that is too large.") from None
    except msgspec.DecodeError as error:
        if rb"\u" not in raw:
            raise BadRequest(f"The request is not valid JSON: {_brief(str(error))}.") from None
    return _decode_leniently(raw)


def _decode_leniently(raw: bytes) -> Decoded:
    try:
        value = json.loads(raw.decode(), parse_int=_bounded_int, parse_constant=_refuse_constant)
    except RecursionError:
        raise BadRequest("The JSON is nested too deeply.") from None
    except UnicodeDecodeError:
        raise BadRequest("The request is not valid UTF-8.") from None
    except ValueError as error:
        raise BadRequest(f"The request is not valid JSON: {_brief(str(error))}.") from None
    return Decoded(value, clean=False)


def read_body(raw: bytes) -> GraphQLRequest:
    """The request in the body of a POST. Raises BadRequest."""
    return read_request(decode_json(raw).value)


def read_query_string(raw: bytes) -> GraphQLRequest:
    """The request in the parameters of a GET. Raises BadRequest."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise BadRequest("The query string is not valid percent-encoded UTF-8.") from None
    found: dict[str, object] = {}
    for name, value in pairs:
        if name not in _GET_PARAMETERS:
            continue
        if name in found:
            raise BadRequest(f"The parameter `{name}` is given twice.")
        found[name] = value
    for name in ("variables", "extensions"):
        text = found.get(name)
        if isinstance(text, str):
            found[name] = decode_json(text.encode()).value if text else None
    if found.get("operationName") == "":
        del found["operationName"]
    return read_request(found)


def read_request(value: object) -> GraphQLRequest:
    """A decoded JSON value → the request in it. Raises BadRequest."""
    if isinstance(value, list):
        raise BadRequest("Batches are not supported: send one operation in each request.")
    if not isinstance(value, dict):
        raise BadRequest("The request must be a JSON object with a `query`.")
    query = value.get("query")
    if query is None and isinstance(value.get("extensions"), dict) and "persistedQuery" in value["extensions"]:
        raise BadRequest("Persisted queries are not supported: send the whole `query`.")
    if not isinstance(query, str) or not query:
        raise BadRequest("`query` must be a text with a GraphQL document.")
    name = value.get("operationName")
    if name is not None and not isinstance(name, str):
        raise BadRequest("`operationName` must be a text or null.")
    variables = value.get("variables")
    if variables is not None and not isinstance(variables, dict):
        raise BadRequest("`variables` must be an object or null.")
    if not isinstance(value.get("extensions"), dict | None):
        raise BadRequest("`extensions` must be an object or null.")
    request = GraphQLRequest(query, name, variables or {})
    _check_texts(request)
    return request


def _check_texts(request: GraphQLRequest) -> None:
    violations = []
    for path, text in (("query", request.query), ("operationName", request.operation_name)):
        reason = text_fault(text) if text else None
        if reason:
            violations.append(Violation(path, reason))
    if len(request.operation_name or "") > MAX_OPERATION_NAME:
        violations.append(Violation("operationName", f"is longer than {MAX_OPERATION_NAME} characters"))
    for path, reason in variable_faults(request.variables):
        violations.append(Violation(path, reason))
        if len(violations) >= 5:
            break
    if violations:
        first = violations[0]
        raise BadRequest(f"{first.path}: {first.message}", tuple(violations), malformed=False)


def text_fault(text: str) -> str | None:
    """Why a text cannot be stored: NUL, which PostgreSQL refuses, or half of a surrogate pair: no character."""
    if "\0" in text:
        return "contains the character NUL"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "contains half of a surrogate pair, which is not a character"
    return None


def variable_faults(variables: dict[str, object]) -> Iterator[tuple[str, str]]:
    """(dotted path, reason) of each fault, in no particular order. No recursion: the input decides how deep it is."""
    stack: list[tuple[tuple[str, ...], object]] = [((), variables)]
    while stack:
        path, value = stack.pop()
        reason: str | None = None
        if len(path) > MAX_VARIABLE_DEPTH:
            reason = f"is nested deeper than {MAX_VARIABLE_DEPTH} levels"
        elif isinstance(value, str):
            reason = text_fault(value)
        elif isinstance(value, dict):
            for key, item in value.items():
                if text_fault(key):
                    yield _dotted((*path, key)), "has a name that " + str(text_fault(key))
                else:
                    stack.append(((*path, key), item))
        elif isinstance(value, list):
            stack.extend(((*path, str(index)), item) for index, item in enumerate(value))
        elif (isinstance(value, int) and abs(value) >= 10**MAX_INTEGER_DIGITS) or value in _INFINITE:
            reason = "is a number that is too large"
        if reason:
            yield _dotted(path), reason


def _dotted(path: tuple[str, ...]) -> str:
    """Short and printable, whatever the names are."""
    text = ".".join(part.replace("\0", "\ufffd").encode(errors="replace").decode() for part in path[:20])
    return text[:200] or "variables"


def _brief(text: str) -> str:
    return text[:120].rstrip(".").encode(errors="replace").decode()


def _bounded_int(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:
        raise ValueError("a number is too large")
    return int(text)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
