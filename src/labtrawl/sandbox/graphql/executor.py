"""Execution made quick for nodes that are dicts: their scalars are taken as they lie.

Entered by the engine. A subclass of graphql-core's executor (its ``executor_class``): what is not
a plain field of a dict goes the library's way, and so does every error.
"""

from typing import Any, NamedTuple

from graphql import (
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    get_nullable_type,
    is_leaf_type,
)
from graphql.execution import Executor
from graphql.execution.values import get_argument_values
from graphql.pyutils import Path

from labtrawl.sandbox.graphql.asking import Asking, Cancelled


class Step(NamedTuple):
    """How one field of a selection is answered, found out once for a request.

    `plain`: the value of the dict's `key` is the answer. `inner`: the object type of the field or
    of its list, if it is one.
    """

    name: str
    key: str
    plain: bool
    strict: bool
    place: str
    pages: bool
    definition: Any
    details: Any
    info: GraphQLResolveInfo[Any]
    args: dict[str, Any]
    inner: GraphQLObjectType | None
    many: bool


class QuickExecutor(Executor[None]):
    """Executes selections of nodes; the context is an `Asking`."""

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: Any,
        position_context: None,
    ) -> Any:
        """The fields of one node."""
        if type(source_value) is not dict:
            return super().execute_fields(
                parent_type, source_value, path, grouped_field_set, position_context
            )
        ask: Asking = self.context_value
        known = ask.plans.get(id(grouped_field_set))
        if known is None:
            # The set is kept with its plan: its id is no other's while it lives.
            known = (grouped_field_set, self._plan(parent_type, grouped_field_set))
            ask.plans[id(grouped_field_set)] = known
        results: dict[str, Any] = {}
        for step in known[1]:
            if step.plain:
                value = source_value.get(step.key)
                if value is not None or not step.strict:
                    results[step.name] = value
                    continue
            results[step.name] = self._answer(parent_type, source_value, step, path)
        return results

    def _plan(self, parent_type: GraphQLObjectType, grouped_field_set: Any) -> list[Step]:
        steps = (
            self._step(parent_type, name, details) for name, details in grouped_field_set.items()
        )
        return [step for step in steps if step is not None]

    def _step(self, parent_type: GraphQLObjectType, name: str, details: Any) -> Step | None:
        node = details[0].node
        found = self.schema.get_field(parent_type, node.name.value)
        if found is None:
            return None
        bare = get_nullable_type(found.type)
        inner = get_nullable_type(bare.of_type) if isinstance(bare, GraphQLList) else bare
        nodes = [each.node for each in details]
        return Step(
            name=name,
            key=node.name.value,
            plain=found.resolve is None and is_leaf_type(bare),
            strict=isinstance(found.type, GraphQLNonNull),
            place=f"{parent_type.name}.{node.name.value}",
            pages="first" in found.args,
            definition=found,
            details=details,
            info=self.build_resolve_info(found, nodes, parent_type, Path(None, name, None)),
            args=get_argument_values(
                found, node, self.variable_values, details[0].fragment_variable_values
            ),
            inner=inner if isinstance(inner, GraphQLObjectType) else None,
            many=isinstance(bare, GraphQLList),
        )

    def _answer(
        self, parent_type: GraphQLObjectType, source: Any, step: Step, path: Path | None
    ) -> Any:
        here = Path(path, step.name, parent_type.name)
        try:
            if step.definition.resolve is None:
                value = source.get(step.key)
            else:
                self.context_value.refuse(step.place, step.pages)
                value = step.definition.resolve(source, step.info, **step.args)
            return self._complete(step, value, here)
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - an error of a field is told in the answer
            self.handle_field_error(error, step.definition.type, step.details, here)
            return None

    def _complete(self, step: Step, value: Any, here: Path) -> Any:
        if value is None and not step.strict:
            return None
        if value is None or step.inner is None:
            return self.complete_value(
                step.definition.type, step.details, step.info, here, value, None
            )
        grouped = self.collect_subfields(step.inner, step.details).grouped_field_set
        if not step.many:
            return self.execute_fields(step.inner, value, here, grouped, None)
        return [
            self._row(step, row, Path(here, index, None), grouped)
            for index, row in enumerate(value)
        ]

    def _row(self, step: Step, row: Any, here: Path, grouped: Any) -> Any:
        """One of a list; what is wrong with it makes it null, or its list if it must not be."""
        assert step.inner is not None
        try:
            return self.execute_fields(step.inner, row, here, grouped, None)
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            listed = get_nullable_type(step.definition.type)
            self.handle_field_error(error, listed.of_type, step.details, here)
            return None
