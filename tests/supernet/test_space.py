import itertools
import os
import pickle
import subprocess
import sys
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernet.errors import BadInput, Infeasible
from supernet.space import Form, Gene, Space

SPACE = Space(
    (
        Gene("blocks.0.attn.qkv.A", (Form("lora4", "4", 40), Form("vector", "v", 7), Form("none", ".", 0))),
        Gene("blocks.0.attn.qkv.E", (Form("vector", "v", 7), Form("scalar", "s", 1))),
        Gene("blocks.0.mlp.fc1.C", (Form("lora4", "4", 12), Form("none", ".", 0))),
    )
)
BIG = Space(
    tuple(
        Gene(f"blocks.{i}.A", (Form("lora4", "4", 40 + i), Form("vector", "v", 7), Form("scalar", "s", 1)))
        for i in range(240)
    )
)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Up to five genes of up to four forms; costs may repeat and the cheapest need not be free."""
    genes = []
    for number in range(draw(st.integers(1, 5))):
        costs = draw(st.lists(st.integers(0, 30), min_size=1, max_size=4))
        genes.append(Gene(f"site{number}.A", tuple(Form(f"form{i}", "abcd"[i], c) for i, c in enumerate(costs))))
    return Space(tuple(genes))


def every_genome(space: Space) -> list[str]:
    return [
        "".join(letters) for letters in itertools.product(*([f.letter for f in gene.forms] for gene in space.genes))
    ]


def cost_by_hand(space: Space, genome: str) -> int:
    pairs = zip(space.genes, genome, strict=True)
    return sum(form.parameters for gene, letter in pairs for form in gene.forms if form.letter == letter)


# Text and forms


@given(spaces())
def test_decode_inverts_encode(space: Space) -> None:
    genomes = every_genome(space)
    assert [space.encode(space.decode(genome)) for genome in genomes] == genomes
    assert space.size == len(genomes) == len(set(genomes))


def test_genes_left_out_take_their_cheapest_form() -> None:
    assert SPACE.encode({}) == SPACE.smallest == ".s."
    assert SPACE.encode({"blocks.0.attn.qkv.A": "vector"}) == "vs."


@pytest.mark.parametrize(
    ("genome", "said"),
    [
        ("vs", "has 3 letters; got 2"),
        ("vs..", "has 3 letters; got 4"),
        ("v..", r"blocks\.0\.attn\.qkv\.E has the letters 'vs'; got '\.'"),
        ("V s", r"blocks\.0\.attn\.qkv\.A has the letters '4v\.'; got 'V'"),
    ],
)
def test_text_that_is_no_genome_is_refused_with_what_was_expected(genome: str, said: str) -> None:
    for reader in (SPACE.require, SPACE.decode):
        with pytest.raises(BadInput, match=said):
            reader(genome)


def test_an_unknown_gene_or_form_is_refused_with_what_there_is() -> None:
    with pytest.raises(BadInput, match=r"No gene is named 'blocks\.0\.attn\.qkv\.a'.*Did you mean 'blocks\.0\.attn"):
        SPACE.encode({"blocks.0.attn.qkv.a": "vector"})
    with pytest.raises(BadInput, match=r"qkv\.E has the forms vector, scalar; got 'none'"):
        SPACE.encode({"blocks.0.attn.qkv.E": "none"})


def test_a_gene_with_two_forms_of_one_letter_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="letters must differ"):
        Gene("x.A", (Form("vector", "v", 1), Form("very", "v", 2)))


def test_the_canonical_form_of_a_genome_of_glora_is_the_genome() -> None:
    assert [SPACE.canonical(genome) for genome in SPACE.feasible()] == list(SPACE.feasible())


# Cost


@given(spaces())
def test_the_cost_is_the_sum_and_smallest_and_largest_bound_it(space: Space) -> None:
    costs = [space.parameters(genome) for genome in every_genome(space)]
    assert costs == [cost_by_hand(space, genome) for genome in every_genome(space)]
    assert (space.parameters(space.smallest), space.parameters(space.largest)) == (min(costs), max(costs))


@given(spaces(), st.integers(-1, 160))
def test_the_feasible_genomes_are_exactly_those_within_the_limit(space: Space, limit: int) -> None:
    found = list(space.feasible(limit))
    assert len(found) == len(set(found)), "once each"
    assert set(found) == {genome for genome in every_genome(space) if cost_by_hand(space, genome) <= limit}


@given(spaces())
def test_without_a_limit_every_genome_is_feasible(space: Space) -> None:
    assert sorted(space.feasible()) == sorted(every_genome(space))


@pytest.mark.timeout(60)
def test_feasible_genomes_of_a_large_space_come_without_a_search_for_them() -> None:
    limit = 240 + 6  # all scalars, and one vector at any of 240 places: of 3**240 genomes 241 are feasible
    assert len(list(BIG.feasible(limit))) == 241
    assert len(set(itertools.islice(BIG.feasible(limit * 2), 5000))) == 5000


@given(spaces(), st.integers(-1, 160))
def test_an_infeasible_limit_is_refused_with_the_smallest_that_works(space: Space, limit: int) -> None:
    smallest = min(cost_by_hand(space, genome) for genome in every_genome(space))
    if limit >= smallest:
        space.require_feasible(limit)
        return
    for act in (
        lambda: space.require_feasible(limit),
        lambda: space.draw(np.random.default_rng(0), limit),
        lambda: space.repair(space.largest, limit, np.random.default_rng(0)),
    ):
        with pytest.raises(Infeasible, match=f"search.max_parameters to at least {smallest} or"):
            act()
    space.require_feasible(None)


# Draws


@given(spaces(), st.integers(0, 2**32), st.integers(0, 160))
def test_a_draw_is_a_genome_within_the_limit_and_a_function_of_its_generator(
    space: Space, seed: int, above: int
) -> None:
    limit = space.parameters(space.smallest) + above
    genome = space.draw(np.random.default_rng(seed), limit)
    space.require(genome)
    assert cost_by_hand(space, genome) <= limit
    assert space.draw(np.random.default_rng(seed), limit) == genome


def test_without_a_limit_every_form_of_a_gene_is_equally_likely() -> None:
    generator, draws = np.random.default_rng(0), 3000
    genomes = [SPACE.draw(generator) for _ in range(draws)]
    for number, gene in enumerate(SPACE.genes):
        seen = Counter(genome[number] for genome in genomes)
        assert seen.keys() == {form.letter for form in gene.forms}
        for count in seen.values():  # five standard errors
            share = 1 / len(gene.forms)
            assert abs(count - draws * share) < 5 * (draws * share * (1 - share)) ** 0.5


def test_genes_are_drawn_independently() -> None:
    genomes = Counter(SPACE.draw(np.random.default_rng([1, i])) for i in range(1200))
    assert len(genomes) == SPACE.size
    assert max(genomes.values()) < 3 * min(genomes.values()), "each of 12 about 100 times"


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.9])
def test_draws_under_a_limit_make_use_of_it_and_differ(share: float) -> None:
    least, most = BIG.parameters(BIG.smallest), BIG.parameters(BIG.largest)
    limit = round(least + share * (most - least))
    generator = np.random.default_rng(0)
    genomes = [BIG.draw(generator, limit) for _ in range(50)]
    assert len(set(genomes)) == 50
    costs = [BIG.parameters(genome) for genome in genomes]
    free = np.mean([BIG.parameters(BIG.draw(generator)) for _ in range(50)])
    assert max(costs) <= limit
    assert np.mean(costs) > 0.7 * min(limit, free), "no budget is left lying about"


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.8, 0.97])
def test_draws_about_a_size_have_it_on_average_and_differ(share: float) -> None:
    least, most = BIG.parameters(BIG.smallest), BIG.parameters(BIG.largest)
    size, generator = least + share * (most - least), np.random.default_rng(0)
    genomes = [BIG.draw(generator, size=size) for _ in range(200)]
    costs = np.array([BIG.parameters(genome) for genome in genomes])
    assert len(set(genomes)) > 190
    assert abs(costs.mean() - size) < 5 * costs.std() / 200**0.5


@given(spaces(), st.floats(0, 1), st.integers(0, 2**32), st.integers(0, 160))
def test_a_draw_about_a_size_is_a_genome_within_the_limit_and_a_function_of_its_generator(
    space: Space, share: float, seed: int, above: int
) -> None:
    least, most = space.parameters(space.smallest), space.parameters(space.largest)
    size, limit = least + share * (most - least), least + above
    genome = space.draw(np.random.default_rng(seed), limit, size)
    space.require(genome)
    assert cost_by_hand(space, genome) <= limit
    assert space.draw(np.random.default_rng(seed), limit, size) == genome


@pytest.mark.parametrize("extreme", ["smallest", "largest"])
def test_a_size_at_an_end_of_the_space_draws_that_end(extreme: str) -> None:
    genome = getattr(BIG, extreme)
    assert BIG.draw(np.random.default_rng(0), size=BIG.parameters(genome)) == genome


@given(spaces(), st.integers(1, 20), st.none() | st.integers(0, 160))
def test_sizes_are_equally_spaced_and_feasible(space: Space, count: int, above: int | None) -> None:
    least = space.parameters(space.smallest)
    limit = None if above is None else least + above
    sizes = space.sizes(count, limit)
    largest = space.parameters(space.largest)
    most = largest if limit is None else min(limit, largest)
    assert len(sizes) == count
    assert np.allclose(np.diff(sizes), (most - least) / count)
    assert (sizes[0] + sizes[-1]) / 2 == pytest.approx((least + most) / 2)


def test_a_limit_that_only_the_smallest_genome_meets_draws_it() -> None:
    assert BIG.draw(np.random.default_rng(0), BIG.parameters(BIG.smallest)) == BIG.smallest


def test_costs_far_apart_draw_without_a_numeric_warning() -> None:
    space = Space(tuple(Gene(f"s{i}.A", (Form("huge", "h", 10**12), Form("none", ".", 0))) for i in range(3)))
    tight = Space((*space.genes, Gene("s.B", (Form("one", "1", 1), Form("two", "2", 2)))))
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        for limit in (1, 2, 10**12, 10**12 + 1, 3 * 10**12):
            assert tight.parameters(tight.draw(np.random.default_rng(0), limit)) <= limit
            assert tight.parameters(tight.draw(np.random.default_rng(0), limit, size=limit)) <= limit


# Repair


@given(spaces(), st.integers(0, 2**32), st.integers(0, 160))
def test_a_repaired_genome_fits_and_no_gene_of_it_costs_more_than_before(space: Space, seed: int, above: int) -> None:
    generator = np.random.default_rng(seed)
    limit = space.parameters(space.smallest) + above
    genome = space.draw(generator)
    repaired = space.repair(genome, limit, generator)
    assert cost_by_hand(space, repaired) <= limit
    if cost_by_hand(space, genome) <= limit:
        assert repaired == genome
    for gene, before, after in zip(space.genes, genome, repaired, strict=True):
        assert after == before or gene.by_letter[after].parameters < gene.by_letter[before].parameters


def test_repair_changes_no_more_than_it_must() -> None:
    one_too_many = "4" + "v" * 239
    limit = BIG.parameters(one_too_many) - 6
    repaired = BIG.repair(one_too_many, limit, np.random.default_rng(0))
    assert sum(a != b for a, b in zip(one_too_many, repaired, strict=True)) == 1


# Values


def test_spaces_are_values() -> None:
    again = Space(tuple(replace(gene) for gene in SPACE.genes))
    assert again == SPACE
    assert hash(again) == hash(SPACE)
    assert Space(SPACE.genes[::-1]) != SPACE


def test_a_space_that_travelled_is_found_as_one_that_was_made_there() -> None:
    """Python hashes text in each process anew, and a hash that was asked for travels."""
    assert hash(SPACE)
    code = (
        "import sys, pickle; from supernet.space import Space; found = pickle.load(sys.stdin.buffer)\n"
        "assert hash(found) == hash(Space(found.genes, found.chains))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(SPACE), env=environment, check=True)


def test_a_space_needs_no_torch() -> None:
    code = "import sys, supernet.space; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
