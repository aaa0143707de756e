"""What an argument of this name may be: specs to try, the likeliest first.

Every guess is the text of an input spec. Names are those of courses, papers and libraries; sizes
are all different, so that a shape that fits by accident is rare.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

SIZES = {"N": 7, "D": 5, "H": 4, "C": 3, "T": 6}
"""Examples, features, hidden units, classes, steps."""

_CONFIG = {
    "conv": '{"stride": 1, "pad": 1}',
    "pool": '{"pool_height": 2, "pool_width": 2, "stride": 2}',
    "dropout": '{"mode": "train", "p": 0.6, "seed": 1}',
    "bn": '{"mode": "train", "eps": 1e-5, "momentum": 0.9}',
    "": '{"mode": "train"}',
}

_COUNTS = (
    (r"hidden|n_h\b|units", "{H}"),
    (r"label|class|output|n_y\b|n_out|out_dim|categor", "{C}"),
    (r"user", "4"),
    (r"movie|item|product", "6"),
    (r"feature|factor", "3"),
    (r"input|visible|in_dim|n_x\b|n_in|vocab|embed|dim|size\Z", "{D}"),
    (r"layer|iter|epoch|step|window|max|num_heads|head", "2"),
    (r"sample|example|batch|num|count|\Am\Z|\An\Z", "{N}"),
)
_IS_COUNT = re.compile(
    r"(?:num|n|max)_\w+\Z|\w+_(?:size|dim|units|count|length|layers|labels|classes|features)\Z|"
    r"(?:hidden|visible|input|output|vocab)\w*(?:size|dim)\Z|[mnK]\Z|window\w*\Z|batch_?size\Z",
    re.IGNORECASE,
)

_SCALAR = (
    r"(?:reg|lam|lambd|lambda|lmbda|Lambda|alpha|beta|gamma|delta|eps|epsilon|lr|learning_rate|c|C|"
    r"rho|mu|margin|temperature|tau|l1|l2|weight_decay|penalty|sigma|scale|strength|reg_strength|"
    r"reg_param|regularization)_?"
)
_PROBABILITY = r"(?:p|prob|keep_prob|rate|drop\w*|sparsity\w*|rho_?|momentum)"

_ROWS = ("randn({N},{D})",)
_TABLE: tuple[tuple[str, tuple[str, ...]], ...] = (
    (_SCALAR, ("0.1", "randn({D})")),
    (_PROBABILITY, ("0.3",)),
    (r"constant|factor|power|exponent|k", ("2.0", "2")),
    (
        r"h0|h_0|prev_h|h_prev|hprev|hidden|h|prev_c|c_prev|c0|h_init|initial_\w+",
        ("randn({N},{H})", "zeros({H},1)", "randn({H})"),
    ),
    (r"W_?xh?|U", ("randn({D},{H})", "randn({H},{D})", "randn({N},{H})")),
    (r"W_?hh?", ("randn({H},{H})",)),
    (r"W_?hy|V", ("randn({H},{C})", "randn({C},{H})", "randn({D},{H})")),
    (r"P|Sigma|cov|adj|L", ("rand({N},{N})", "rand({D},{D})", "rand({N})", "0.5")),
    (
        r"pred\w*|y_?pred|y_?hat|output|logits|scores|probs?|yhat",
        ("randn({N},{D})", "randn({N})", "rand({N},{D})", "rand({N})", "randn({D},{N})"),
    ),
    (r"b_?h", ("randn({H})", "randn({H},1)")),
    (r"b_?y|c", ("randn({C})", "randn({C},1)")),
    (
        r"th0|theta_?0|theta_zero|w0|bias|intercept_?",
        ("0.5", "randn(1,1)", "randn({C})", "randn(1)"),
    ),
    (
        r"(?:data|inputs?|features?|x_?\d?|X_?\w*|Phi|Psi|A|design|exog|x_train|x_batch|batch)",
        (
            *(
                "randn({N},{D})",
                "randn({D},{N})",
                "randn({D})",
                "randn({D},1)",
                "randn({N})",
                "0.5",
            ),
            *("randn({N},{T},{D})", "randn(2,3,8,8)", "[0, 1, 2, 1]", "integers({C}, size={N})"),
            *("uniform(0.1, 0.9, size=({N},{D}))", "uniform(0.1, 0.9, size=({D},{N}))"),
            *("uniform(0.5, 1.5, size={D})", "randn(2)", "randn(3)", "randn(4)", "randn(6)"),
        ),
    ),
    (
        r"(?:y|ys|t|labels?|targets?|y_true|truth|classes|idx|y_\w+|Y|outputs?|endog|targets_\w+)",
        (
            *("integers({C}, size={N})", "integers(2, size={N})", "randn({N})"),
            *(
                "2 * integers(2, size={N}) - 1",
                "integers(2, size=(1,{N}))",
                "integers(2, size=({N},1))",
            ),
            *("2 * integers(2, size=(1,{N})) - 1", "2 * integers(2, size=({N},1)) - 1"),
            *(
                "randn({N},1)",
                "randn(1,{N})",
                "uniform(0.1, 0.9, size=({N},{C}))",
                "randn({N},{C})",
            ),
            *("randn({C},{N})", "randn({C},1)", "randn({C})", "0.7", "1", "[1, 2, 1, 0]"),
            *("randn({N},{D})", "randn({D})"),
        ),
    ),
    (
        r"\w*mask\w*|R",
        ("integers(2, size=({N},{D}))", "integers(2, size={N})", "integers(2, size=({N},{N}))"),
    ),
    (
        r"(?:W|weights?|weight_matrix|kernel|M)",
        ("randn({D},{C})", "randn({C},{D})", "randn({D})", "randn({D},1)", "randn(1,{D})"),
    ),
    (
        r"(?:w|theta|th|thetas|coefs?_?|beta_?|params?|parameters|w_|Theta|wb|packed\w*|x0)",
        (
            *("randn({D})", "randn({D},1)", "randn({D},{C})", "randn({C},{D})", "randn({D}+1)"),
            *("randn({D}+1,1)", "0.5", "randn(2)", "randn(3)", "randn(4)"),
            *("randn(6)", "randn(1)"),
        ),
    ),
    (
        r"(?:b|biases|b_)",
        ("randn({C})", "0.5", "randn(1,{C})", "randn({C},1)", "randn(1)", "randn({D})"),
    ),
    (r"z|Z|s|a|u|v|activations?", ("randn({N},{C})", "randn({D})", "0.5")),
    (r"(?:target|outside|center|word)\w*(?:idx|index|ind)", ("2",)),
    (r"\w*(?:idx|index|indices|ids)", ("2", "integers({C}, size={N})")),
    (r"center\w*(?:vec|vector)", ("randn({D})", "randn({N},{D})")),
    (r"\w*(?:vectors|vecs|embeddings?|matrix)", ("randn({N},{D})", "randn({D},{N})")),
    (r"\w*(?:vec|vector)", ("randn({D})",)),
    (r"dataset|cache|rng|random_state|mode|name|verbose|seed", ("None", "0", "[0, 1, 1, 2]")),
)
_UNKNOWN = (*("randn({D})", "0.5", "randn({N},{D})", "randn({D},1)", "2", "randn({N})", "None"),)
_CHAIN = re.compile(r"(W|w|Theta|theta|weights?|b|B|bias)_?(\d)\Z")


def guesses(
    name: str, names: Sequence[str], sizes: Mapping[str, int], function: str = ""
) -> list[str]:
    """Return specs for the argument ``name`` among the target's other ``names``.

    ``function`` is the target's own name, which may tell a convolution from a product.
    """
    around = " ".join((function, *names)).lower()
    texts = _special(name, names, around) or _count(name) or _chain(name, names) or _by_table(name)
    return list(dict.fromkeys(text.format(**sizes) for text in texts))


def is_label(name: str) -> bool:
    """Whether an argument of this name is what a prediction is compared with."""
    return bool(re.fullmatch(r"y|ys|t|labels?|targets?|y_true|y_train|y_batch", name))


def is_wanted(name: str) -> bool:
    """Whether an argument of this name should be given though it may be None: labels, a bias."""
    return is_label(name) or bool(re.fullmatch(r"b|bias", name))


def _special(name: str, names: Sequence[str], around: str) -> Sequence[str]:
    low = name.lower()
    if low in ("parameters", "params", "weights", "p", "model", "theta"):
        return _networks()
    if re.search(r"(?:conv|pool|bn|dropout|ln|gn)_params?\Z|(?:config|cfg|options|opts)\Z", low):
        kind = next((kind for kind in _CONFIG if kind and kind in around), "")
        literals = [_CONFIG[kind], *_CONFIG.values()]
        return [text.replace("{", "{{").replace("}", "}}") for text in literals]
    if low in ("gamma", "beta") and {"gamma", "beta"} <= {one.lower() for one in names}:
        return ("randn({D})", "randn(1,{D})", "randn({D},1)", "0.7")
    if "conv" in around and low in (
        "x",
        "w",
        "b",
        "a_prev",
        "input",
        "weight",
        "kernel",
        "filters",
    ):
        images = low in ("x", "a_prev", "input")
        return (
            ("randn(2,3,5,5)",) if images else ("randn(4)",) if low == "b" else ("randn(4,3,3,3)",)
        )
    if "pool" in around and low in ("x", "a_prev", "input"):
        return ("randn(2,3,4,4)",)
    if {"Q", "K", "V"} <= set(names) and name in ("Q", "K", "V"):
        return ("randn({N},{D})",) if name == "Q" else ("randn({H},{D})", "randn({N},{D})")
    if {"U", "V", "R"} <= set(names) and name == "R":
        return ("integers(2, size=({N},{D}))", "integers(2, size=({D},{N}))")
    if {"Y", "R"} <= set(names) and name in ("Y", "R"):
        return ("randn(6,4)",) if name == "Y" else ("integers(2, size=(6,4))",)
    if {"prev_h", "h0", "hprev", "h_prev"} & set(names) and low in ("x", "xt", "b"):
        gates = "4*" if {"prev_c", "c0", "c_prev"} & set(names) or "lstm" in around else ""
        if low == "b":
            return (f"randn({gates}{{H}})", "randn({H},1)")
        return ("randn({N},{T},{D})", "randn({N},{D})", "randn({D},1)", "randn({D})")
    if re.fullmatch(r"w_?[xh]", low) and ("lstm" in around or "prev_c" in names or "c0" in names):
        return ("randn({D},4*{H})",) if low.endswith("x") else ("randn({H},4*{H})",)
    return ()


def _networks() -> Sequence[str]:
    """Dicts of the weights of two layers and of three, examples in rows and in columns; vectors."""
    dicts = []
    for layers in (("{D}", "{H}", "{C}"), ("{D}", "{H}", "1"), ("{D}", "{H}", "{C}", "1")):
        for rows in (False, True):
            entries = []
            for number, (into, out) in enumerate(itertools.pairwise(layers), 1):
                weight = f"randn({into},{out})" if rows else f"randn({out},{into})"
                bias = f"randn({out})" if rows else f"randn({out},1)"
                entries += [f'"W{number}": {weight}', f'"b{number}": {bias}']
            dicts.append("{{" + ", ".join(entries) + "}}")
    single = ('{{"W": randn({D},{C}), "b": randn({C})}}', '{{"w": randn({D}), "b": 0.5}}')
    return (*_by_table("theta"), *dicts, *single)


def _count(name: str) -> Sequence[str]:
    if not _IS_COUNT.match(name):
        return ()
    low = name.lower()
    return next(((size,) for pattern, size in _COUNTS if re.search(pattern, low)), ("3",))


def _chain(name: str, names: Sequence[str]) -> Sequence[str]:
    """Weights and biases of the layers of a network, numbered from 1 or 0."""
    own = _CHAIN.match(name)
    if own is None:
        return ()
    numbers = sorted({int(m.group(2)) for one in names if (m := _CHAIN.match(one))})
    at = numbers.index(int(own.group(2)))
    if len(numbers) < 2:
        return ()
    into = "{D}" if at == 0 else "{H}"
    last = at == len(numbers) - 1
    out = "{C}" if last else "{H}"
    if own.group(1).lower().startswith("b"):
        ends = [out, "1"] if last else [out]
        return [
            form for end in ends for form in (f"randn({end})", f"randn(1,{end})", f"randn({end},1)")
        ]
    forms = [f"randn({into},{out})", f"randn({out},{into})"]
    if own.group(1).lower().startswith("t"):
        forms = [f"randn({out},{into}+1)", *forms]
    return [*forms, f"randn({into},1)", f"randn(1,{into})", f"randn({into})"] if last else forms


def _by_table(name: str) -> Sequence[str]:
    # The case of a single letter matters (W and w); that of a word is a matter of style.
    for spelled in dict.fromkeys((name, name.lower())):
        found = [texts for pattern, texts in _TABLE if re.fullmatch(pattern, spelled)]
        if found:
            return found[0]
    return _UNKNOWN
