"""Networks of the user's own: an ``nn.Module``, or a factory named by a string."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from convscope.errors import ConvscopeError, ModelError, near_misses
from convscope.model.found import Found
from convscope.model.model import Model, unwrap
from convscope.model.timm_models import with_timm_recipe
from convscope.model.weights import fill, fit_names, read_weights


def own_network(module: nn.Module) -> Found:
    """Describe a module that the caller made; timm's ``pretrained_cfg`` is believed where it carries one."""
    inner, _ = unwrap(module)
    found = Found(module, type(inner).__name__, origin="", weights="as given", ours=False)
    recipe = getattr(inner, "pretrained_cfg", None)
    if not isinstance(recipe, Mapping) or not recipe:
        return found
    described = with_timm_recipe(replace(found, module=inner), recipe)
    names = " and class names" if described.classes else ""
    note = f"preprocessing{names} taken from the module's pretrained_cfg"
    return replace(described, module=module, notes=(*described.notes, note))


def factory_network(source: str, *, weights: str | Path | None) -> Found:
    """Call ``package.module:factory`` or ``file.py:factory``, which returns an ``nn.Module`` or a ``Model``.

    Args:
        source: where the factory is. The file's folder (or the working directory) can be imported from
            meanwhile.
        weights: ``"default"`` to leave the network as the factory made it, or a file to put into a copy of
            it.

    Raises:
        ModelError: no such file, module or attribute; the factory raised; or it returned something else.
    """
    place, _, attribute = source.rpartition(":")
    path = Path(place).expanduser().resolve() if place.endswith(".py") else None
    with _importable(path.parent if path else Path.cwd()):
        module = _file_module(path) if path else _named_module(place)
        made = _made(_attribute(module, attribute, source), source)
    origin = f"{path}:{attribute}" if path else source
    if isinstance(made, Model):
        found = Found(
            made.module,
            made.name,
            origin,
            made.spec.weights,
            ours=False,
            preprocessing=made.spec.preprocessing,
            classes=made.spec.classes,
            synonyms=made.spec.synonyms,
            notes=made.notes,
        )
    else:
        found = replace(own_network(made), name=attribute, origin=origin, weights="as the factory made them")
    return found if weights == "default" else _filled(found, weights)


def first_convolution(module: nn.Module) -> nn.Module | None:
    """The convolution over pictures that is registered first."""
    return next((m for m in module.modules() if isinstance(m, nn.Conv2d)), None)


def _filled(found: Found, weights: str | Path | None) -> Found:
    if weights is None:
        raise ModelError(
            f"weights=None (random) is for named architectures; {found.origin} decides on its own weights."
        )
    file = Path(weights).expanduser().resolve()
    state, notes = read_weights(file)
    module = deepcopy(found.module)
    state, renamed = fit_names(state, module)
    fill(module, state, file=str(file), name=found.name)
    return replace(found, module=module, weights=str(file), notes=(*found.notes, *notes, *renamed))


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = before


def _file_module(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModelError(f"no file {str(path)!r} to find a factory in. Expected file.py:factory.")
    name = f"_convscope_factory_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{str(path)!r} cannot be imported as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ModelError(f"importing {str(path)!r} failed with {_told(error)}") from error
    return module


def _named_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ModelError(f"importing {name!r} failed with {_told(error)}") from error
        raise ModelError(
            f"no module {error.name!r} to find a factory in, from {Path.cwd()}. "
            "Expected package.module:factory, file.py:factory, torchvision:NAME or timm:NAME."
        ) from error
    except Exception as error:
        raise ModelError(f"importing {name!r} failed with {_told(error)}") from error


def _attribute(module: ModuleType, name: str, source: str) -> Callable[[], Any]:
    where = source.rpartition(":")[0]
    callables = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    if not hasattr(module, name):
        hint = near_misses(name, callables) or (
            f" It has: {', '.join(callables[:6])}." if callables else " It has no functions."
        )
        raise ModelError(f"{where} has no factory {name!r}.{hint}")
    factory = getattr(module, name)
    if isinstance(factory, nn.Module | Model):
        return lambda: factory
    if not callable(factory):
        raise ModelError(
            f"{source} is a {type(factory).__name__}, expected a function that returns an nn.Module or Model."
        )
    return factory  # type: ignore[no-any-return]


def _made(factory: Callable[[], Any], source: str) -> nn.Module | Model:
    try:
        made = factory()
    except ConvscopeError:
        raise
    except Exception as error:
        raise ModelError(f"the factory {source} failed with {_told(error)}") from error
    if isinstance(made, nn.Module | Model):
        return made
    raise ModelError(f"the factory {source} returned a {type(made).__name__}, expected an nn.Module or a Model.")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
