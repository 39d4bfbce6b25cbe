"""What dialect 1 writes otherwise than dialect 2."""

from typing import Any

import msgspec
from msgspec.structs import replace

from labtrawl.protocol.messages import Credentials, Envelope, OutputConfig, Task

# Numbers that the ancestors write as texts.
NUMBERS = frozenset({"gitlabId"})
# Lists that they write as numbered objects: without any number an object says nothing of itself.
LISTS = frozenset({"areas", "jobs"})


def task_in_full(task: Task) -> dict[str, Any]:
    """Return a task with every field that the ancestors' crawlers read, defaults too.

    Dialect 2 leaves out what has its default; they would find nothing where they look.
    """
    said: dict[str, Any] = msgspec.to_builtins(task)
    return said | {
        "lastProcessedId": task.last_processed_id,
        "customParameters": said.get("customParameters", {}),
        "outputConfig": _in_full(task.output_config),
        # A study's key is nothing for them: they get none of its jobs.
        "credentials": _in_full(task.credentials, leave="policy_key"),
    }


def _in_full(record: OutputConfig | Credentials, leave: str = "") -> dict[str, Any]:
    fields = [field for field in msgspec.structs.fields(record) if field.name != leave]
    return {field.encode_name: getattr(record, field.name) for field in fields}


def modern(envelope: Envelope) -> Envelope:
    """Return the message with each numbered object (`{"0": …, "1": …}`) as the list that it means.

    Numbers that came as texts are numbers again, and what is null is left out.
    """
    try:
        said = msgspec.json.decode(envelope.payload)
    except msgspec.MsgspecError:
        return envelope  # who handles it says what is wrong with it
    said = {} if said is None else said
    return replace(envelope, payload=msgspec.Raw(msgspec.json.encode(_listed(said))))


def _listed(value: Any) -> Any:
    if isinstance(value, list):
        return [_listed(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value and list(value) == [str(number) for number in range(len(value))]:
        return [_listed(each) for each in value.values()]
    return {key: _named(key, _listed(each)) for key, each in value.items() if each is not None}


def _named(key: str, value: Any) -> Any:
    if key in LISTS and value == {}:
        return []
    is_number = key in NUMBERS and isinstance(value, str) and value.isascii() and value.isdecimal()
    return int(value) if is_number else value
