"""How a target's text becomes the object that is meant."""

import sys

import pytest

from gradcheck.case import Case
from gradcheck.errors import UsageError
from gradcheck.targets.target import callable_target, declared_checks, resolve


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class TestResolve:
    def test_a_module_in_the_current_directory(self, softmax):
        assert resolve("homework:loss").value.__name__ == "loss"

    def test_a_file(self, softmax):
        assert resolve("homework.py:loss").value.__name__ == "loss"

    def test_a_file_elsewhere_imports_its_neighbours(self, workplace):
        write(workplace / "a" / "helper.py", "factor = 2\n")
        write(
            workplace / "a" / "mine.py", "from helper import factor\ndef loss(x): return factor\n"
        )
        assert resolve("a/mine.py:loss").value(1) == 2
        assert resolve(str(workplace / "a" / "mine.py") + ":loss").value(1) == 2

    def test_a_file_within_a_package_keeps_its_relative_imports(self, workplace):
        write(workplace / "lib" / "pack" / "__init__.py", "")
        write(workplace / "lib" / "pack" / "other.py", "factor = 3\n")
        write(workplace / "lib" / "pack" / "mine.py", "from .other import factor\n")
        assert resolve("lib/pack/mine.py:factor").value == 3

    def test_a_file_may_have_a_name_that_is_no_identifier(self, workplace):
        write(workplace / "01-loss.py", "def loss(x): return 1\n")
        assert resolve("01-loss.py:loss").value(0) == 1

    def test_a_file_named_like_a_standard_module_does_not_replace_it(self, workplace):
        write(workplace / "random.py", "def loss(x): return 1\n")
        before = sys.modules["random"]
        assert resolve("random.py:loss").value(0) == 1
        assert sys.modules["random"] is before

    def test_dotted_attributes(self, workplace):
        write(
            workplace / "nets.py",
            "class Net:\n    def loss(self, x): return x\nclass Box: net = Net()\n",
        )
        assert resolve("nets:Box.net.loss").value(5) == 5

    def test_a_plain_name_is_looked_for_at_home(self, softmax):
        home = resolve("homework:loss").module
        assert resolve("make_inputs", home=home).value is home.make_inputs
        assert resolve("homework:make_inputs", home=home).value is home.make_inputs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("homwork:loss", r"no module 'homwork' .* \(did you mean 'homework'\?\)"),
        ("homework:los", r"homework has no attribute 'los' \(did you mean 'loss'\?\)"),
        ("homework:zzz", "it has loss, wrong, make_inputs"),
        ("homework:loss.deep", "homework.loss has no attribute 'deep'"),
        ("homwork.py:loss", r"no file 'homwork.py' \(did you mean 'homework.py'\?\)"),
        ("nowhere/homework.py:loss", "no file 'nowhere/homework.py'"),
        ("homework:", "names no target"),
        (":loss", "names no target"),
        ("home work:loss", "neither a module's name nor a path"),
        ("homework.sub:loss", "no module 'homework.sub'"),
    ],
)
def test_what_does_not_exist_is_said_with_the_nearest_name(softmax, text, message):
    with pytest.raises(UsageError, match=message):
        resolve(text)


def test_an_import_error_within_the_target_is_the_users_own(workplace):
    write(workplace / "broken.py", "import no_such_dependency\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        resolve("broken:loss")


def test_a_module_that_failed_to_load_from_its_file_is_not_kept(workplace):
    write(workplace / "broken.py", "1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        resolve("broken.py:loss")
    assert "broken" not in sys.modules


class TestCallable:
    def test_a_class_is_refused_with_its_methods(self, workplace):
        write(workplace / "nets.py", "class Net:\n    def loss(self, x): return x\n")
        with pytest.raises(UsageError, match=r"is a class: make an object .*nets:model\.loss"):
            callable_target(resolve("nets:Net"))

    def test_of_a_class_that_has_an_object_the_object_is_named(self, workplace):
        source = "class Net:\n    def loss(self, x): return x\n\nnet = Net()\n"
        write(workplace / "nets.py", source)
        with pytest.raises(UsageError, match=r"net is one: name nets:net\.loss"):
            callable_target(resolve("nets:Net"))

    def test_an_object_that_cannot_be_called_names_its_method(self, workplace):
        source = "class Layer:\n    def forward(self, x): return x\n\nlayer = Layer()\n"
        write(workplace / "nets.py", source)
        with pytest.raises(UsageError, match=r"name its method, nets:layer\.forward"):
            callable_target(resolve("nets:layer"))

    def test_a_number_is_refused(self, softmax):
        with pytest.raises(UsageError, match="is a dict, which cannot be called"):
            callable_target(resolve("homework:inputs"))

    def test_instances_with_call_are_taken(self, workplace):
        write(workplace / "nets.py", "class F:\n    def __call__(self, x): return x\nf = F()\n")
        assert callable_target(resolve("nets:f"))(3) == 3


class TestDeclared:
    def test_a_function_declares_nothing(self, softmax):
        assert declared_checks(resolve("homework:loss")) is None

    def test_a_module_lists_its_cases(self, workplace):
        write(
            workplace / "models.py",
            "from gradcheck import Case\n__gradcheck__ = [Case('a', abs), Case('b', abs)]\n"
            "def __gradcheck_traces__(): return [1]\n",
        )
        declared = declared_checks(resolve("models"))
        assert [case.name for case in declared.cases] == ["a", "b"]
        assert declared.stories == ()
        assert declared.traces() == (1,)

    def test_an_attribute_may_be_a_case_or_several(self, workplace):
        write(
            workplace / "models.py",
            "from gradcheck import Case\none = Case('a', abs)\nmany = [one, Case('b', abs)]\n",
        )
        assert declared_checks(resolve("models:one")).cases == (Case("a", abs),)
        assert len(declared_checks(resolve("models:many")).cases) == 2

    def test_a_module_without_checks_names_its_functions(self, softmax):
        with pytest.raises(UsageError, match="such as homework:loss or homework:wrong"):
            declared_checks(resolve("homework"))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("__gradcheck__ = []", "is empty"),
            ("__gradcheck__ = 3", "is an int: make it a list"),
            ("__gradcheck__ = 'abc'", "is a str: make it a list"),
            ("__gradcheck__ = [abs]", "holds a builtin_function_or_method"),
            (
                "from gradcheck import Case\n__gradcheck__ = [Case('a', abs), Case('a', abs)]",
                "two checks named 'a'",
            ),
        ],
    )
    def test_what_is_no_list_of_cases_is_refused(self, workplace, text, message):
        write(workplace / "models.py", text + "\n")
        with pytest.raises(UsageError, match=message):
            declared_checks(resolve("models"))
