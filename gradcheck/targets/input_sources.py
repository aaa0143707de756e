"""Where the inputs of a target come from when only the target is named.

The first of these that applies, and further ones for what is still missing: the command line, the
decorator ``@gradcheck.inputs``, ``gradcheck_inputs`` in the target's module, shape annotations with
default values, data at the top of the module under the names of the arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from gradcheck.errors import UsageError
from gradcheck.settings import near_name
from gradcheck.targets.input_specs import Source, choose_sizes, evaluate, generator_source
from gradcheck.targets.module_inputs import inputs_of_module
from gradcheck.targets.shape_annotations import specs_of
from gradcheck.targets.signature import Signature
from gradcheck.targets.spec_grammar import Spec, parse
from gradcheck.targets.target import resolve
from gradcheck.targets.tensor_inputs import Tensors, wanted

T = TypeVar("T")

_ATTRIBUTE = "__gradcheck_inputs__"


@dataclass(frozen=True, eq=False)
class Declaration:
    """What ``@gradcheck.inputs`` was told."""

    factory: Any = None
    values: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)


def inputs(
    factory: Any = None, /, *, sizes: Mapping[str, int] | None = None, **values: Any
) -> Callable[[T], T]:
    """Decorate a target with the inputs that it is checked at.

    Args:
        factory: a dict, tuple or array, or a function without arguments that returns one.
        sizes: values of symbolic sizes, ``{"N": 20}``; the others are small primes.
        values: inputs by name: a string is a spec such as ``"randn(N, D)"`` (a string itself is
            written with its own quotes, ``"'mean'"``), anything else is used as it is.

    Raises:
        UsageError: a spec cannot be read.
    """
    for name, value in values.items():
        if isinstance(value, str):
            parse(name, value)
    if factory is not None and values:
        raise UsageError("gradcheck.inputs takes a factory or inputs by name, not both")
    declaration = Declaration(factory, values, dict(sizes or {}))

    def decorate(target: T) -> T:
        setattr(target, _ATTRIBUTE, declaration)
        return target

    return decorate


@dataclass(frozen=True, eq=False)
class Plan:
    """The inputs of a target, as far as they are known before anything is drawn.

    Attributes:
        whole: the inputs as one value (a tuple, an array); None when they are known by name.
        fixed: inputs with a value.
        specs: inputs to be drawn.
        sizes: bound symbolic sizes.
        tensors: names of inputs that become torch tensors.
        make: how they become tensors.
        positional: names in the order of the call, when the target takes no keywords.
        from_module: inputs that are taken from the top of the target's module.
    """

    whole: Any = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    specs: tuple[Spec, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    tensors: frozenset[str] = frozenset()
    make: Tensors = field(default_factory=Tensors)
    positional: tuple[str, ...] | None = None
    from_module: tuple[str, ...] = ()

    def draw(self, seed: int) -> Any:
        """Return inputs for ``gradcheck.check``, the same for the same seed."""
        if self.whole is not None:
            return self.whole
        sizes = choose_sizes(self.specs, self.sizes)
        return self.fill(sizes, lambda spec: generator_source(seed, spec.name))

    def fill(self, sizes: Mapping[str, int], source_for: Callable[[Spec], Source]) -> Any:
        """Return inputs whose specs are drawn from the given sources at the given sizes."""
        values = dict(self.fixed)
        for spec in self.specs:
            value = evaluate(spec, sizes, source_for(spec))
            values[spec.name] = self.make.of(value) if spec.name in self.tensors else value
        if self.positional is not None:
            return tuple(values[name] for name in self.positional if name in values)
        return values


def load_inputs(text: str, *, home: ModuleType | None = None, target: Any = None) -> Any:
    """Return what ``--inputs`` names: a factory's result, a constant, or the arrays of an npz.

    The arrays of an npz become tensors where the target takes these.

    Raises:
        UsageError: there is no such file, module or name, or the npz holds pickled objects.
        Exception: whatever the factory raises.
    """
    if text.endswith(".npz"):
        make, arrays = wanted(target), _load_npz(Path(text))
        return arrays if make is None else make.of_all(arrays)
    value = resolve(text, home=home).value
    if callable(value):
        value = _call_factory(value, f"--inputs {text}")
    return _plain(value, f"--inputs {text}")


def _load_npz(path: Path) -> dict[str, Any]:
    import zipfile

    import numpy as np

    if not path.is_file():
        siblings = [str(item) for item in sorted(path.parent.glob("*.npz"))]
        raise UsageError(f"--inputs {path}: there is no such file{near_name(str(path), siblings)}")
    try:
        # Opened here: a broken archive would else be left open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError, AttributeError, TypeError) as error:
        raise UsageError(
            f"--inputs {path}: cannot be read without unpickling ({error}); write it with "
            "numpy.savez from arrays of numbers"
        ) from None


def _call_factory(factory: Callable[..., Any], where: str) -> Any:
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise UsageError(
            f"{where}: the factory must be callable without arguments ({error})"
        ) from None
    except ValueError:
        pass
    return factory()


def _plain(value: Any, where: str) -> Any:
    if value is None:
        raise UsageError(
            f"{where} gave None: return a dict (keyword arguments), a tuple (positional ones) or "
            "one array; is a return missing?"
        )
    return value


def plan_inputs(
    target: Callable[..., Any],
    *,
    module: ModuleType | None = None,
    given: Any = None,
    args: Iterable[str] = (),
    sizes: Mapping[str, int] | None = None,
    name: str = "",
    typed: str = "",
) -> Plan:
    """Find the inputs of ``target``.

    Args:
        target: the function under check.
        module: where ``gradcheck_inputs`` is looked for.
        given: the value of ``--inputs``, loaded.
        args: the texts of ``--arg``, ``NAME=SPEC``.
        sizes: bound symbolic sizes.
        name: how the user named the target, for the messages.
        typed: the command that the user typed, for the messages.

    Raises:
        UsageError: an input is unknown, given twice, or missing; then the message holds a stub.
    """
    signature = Signature.of(target)
    args = list(args)
    if given is not None and not isinstance(given, Mapping):
        if args:
            raise UsageError("--arg joins a dict of inputs, but --inputs gave a tuple or an array")
        return Plan(whole=given)
    values: dict[str, Any] = dict(given or {})
    sizes = dict(sizes or {})
    for text in args:
        spec = _arg(text, values)
        values[spec.name] = spec
    alone = bool(given) and not args and signature.takes_one()
    if alone and not signature.accepts(values):
        return Plan(whole=given)
    signature.refuse_unknown(values, name)
    tensors: set[str] = set()
    sources: tuple[Callable[[], Plan], ...] = (
        lambda: _declared(target),
        lambda: _in_module(target, module),
        lambda: _annotated(target),
        lambda: Plan(fixed=inputs_of_module(signature, module, values)),
    )
    taken: tuple[str, ...] = ()
    for source in sources:
        if values and not signature.missing(values):
            break
        found = source()
        if source is sources[-1]:
            taken = tuple(found.fixed)
        if found.whole is not None and not values:
            return found
        usable = {key: value for key, value in found.fixed.items() if signature.knows(key)}
        tensors |= found.tensors - values.keys()
        values = {**usable, **values}
        sizes = {**found.sizes, **sizes}
    missing = signature.missing(values)
    if missing:
        from gradcheck.targets.missing import describe_missing

        known = _known(target, values, sizes, tensors)
        raise UsageError(
            describe_missing(target, missing, name, given=known, module=module, typed=typed)
        )
    plan = _as_plan(target, values, sizes, tensors)
    return replace(plan, positional=signature.positional(values), from_module=taken)


def _as_plan(
    target: Callable[..., Any],
    values: Mapping[str, Any],
    sizes: Mapping[str, int],
    tensors: Iterable[str],
) -> Plan:
    make = wanted(target)
    specs = tuple(value for value in values.values() if isinstance(value, Spec))
    drawn = {spec.name for spec in specs} if make is not None else set()
    return Plan(
        fixed={key: value for key, value in values.items() if not isinstance(value, Spec)},
        specs=specs,
        sizes=sizes,
        make=make or Tensors(),
        tensors=frozenset({*tensors, *drawn}),
    )


def _known(
    target: Callable[..., Any],
    values: Mapping[str, Any],
    sizes: Mapping[str, int],
    tensors: Iterable[str],
) -> Any:
    """The inputs that there are, while others are missing, and sizes perhaps belong to those."""
    specs = [value for value in values.values() if isinstance(value, Spec)]
    symbols = {name for spec in specs for name in spec.symbols()}
    bound = {name: size for name, size in sizes.items() if name in symbols}
    return _as_plan(target, values, bound, tensors).draw(0)


def _arg(text: str, values: Mapping[str, Any]) -> Spec:
    name, equals, spec = text.partition("=")
    if not equals or not name.strip().isidentifier() or not spec.strip():
        raise UsageError(f"--arg {text}: write NAME=SPEC, such as --arg 'W=randn(4,8)'")
    if name.strip() in values:
        raise UsageError(f"--arg {text}: {name.strip()} is given already; give it once")
    return parse(name.strip(), spec)


def _declared(target: Callable[..., Any]) -> Plan:
    declaration = getattr(target, _ATTRIBUTE, None)
    if not isinstance(declaration, Declaration):
        return Plan()
    if declaration.factory is not None:
        value = declaration.factory
        if callable(value):
            value = _call_factory(value, "@gradcheck.inputs")
        return _by_name(_plain(value, "@gradcheck.inputs"))
    named = _by_name(declaration.values)
    return Plan(fixed=named.fixed, sizes=declaration.sizes)


def _in_module(target: Callable[..., Any], module: ModuleType | None) -> Plan:
    value = getattr(module, "gradcheck_inputs", None)
    if value is None:
        return Plan()
    where = f"{getattr(module, '__name__', '')}.gradcheck_inputs"
    if callable(value):
        value = _plain(_call_factory(value, where), where)
    own = getattr(target, "__name__", "")
    if isinstance(value, Mapping) and isinstance(value.get(own), (Mapping, tuple)):
        value = value[own]
    return _by_name(value)


def _annotated(target: Callable[..., Any]) -> Plan:
    found = specs_of(target)
    return Plan(
        fixed={name: spec for name, (spec, _) in found.items()},
        tensors=frozenset(name for name, (_, tensor) in found.items() if tensor),
    )


def _by_name(value: Any) -> Plan:
    if not isinstance(value, Mapping):
        return Plan(whole=value)
    return Plan(
        fixed={
            str(name): parse(str(name), item) if isinstance(item, str) else item
            for name, item in value.items()
        }
    )
