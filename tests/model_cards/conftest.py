"""A run record as the trainer writes it: 110 languages, three phases and a decay, shaped like a real run."""

import numpy as np
import pytest

HIGH = (
    "eng_Latn rus_Cyrl cmn_Hans spa_Latn deu_Latn fra_Latn jpn_Jpan ita_Latn por_Latn pol_Latn nld_Latn vie_Latn "
    "ind_Latn tur_Latn ces_Latn arb_Arab fas_Arab ron_Latn hun_Latn ell_Grek swe_Latn ukr_Cyrl dan_Latn fin_Latn "
    "kor_Kore nob_Latn tha_Thai heb_Hebr hin_Deva bul_Cyrl slk_Latn hrv_Latn slv_Latn lit_Latn ekk_Latn lvs_Latn "
    "cat_Latn ben_Beng tam_Taml tel_Telu"
).split()
MID = (
    "zsm_Latn kat_Geor mkd_Cyrl mar_Deva urd_Arab als_Latn azj_Latn kaz_Cyrl bel_Cyrl glg_Latn isl_Latn eus_Latn "
    "hye_Armn npi_Deva mal_Mlym guj_Gujr kan_Knda sin_Sinh khm_Khmr mya_Mymr khk_Cyrl afr_Latn swh_Latn fil_Latn "
    "uzn_Latn tgk_Cyrl kir_Cyrl cym_Latn gle_Latn epo_Latn lat_Latn bos_Latn srp_Cyrl pan_Guru ory_Orya"
).split()
LOW = (
    "amh_Ethi som_Latn ltz_Latn mlt_Latn fry_Latn gla_Latn jav_Latn sun_Latn ceb_Latn hat_Latn mri_Latn snd_Arab "
    "pbt_Arab ckb_Arab kmr_Latn tat_Cyrl lao_Laoo bod_Tibt uig_Arab yor_Latn ibo_Latn hau_Latn zul_Latn xho_Latn "
    "sna_Latn nya_Latn plt_Latn tir_Ethi fao_Latn asm_Beng bre_Latn oci_Latn roh_Latn wol_Latn"
).split()
GROUPS = {**dict.fromkeys(HIGH, "high"), **dict.fromkeys(MID, "mid"), **dict.fromkeys(LOW, "low"), "code": "code"}
SOURCES = [
    {"name": "Django", "version": "5.2", "licence": "BSD-3-Clause", "url": "https://www.djangoproject.com/"},
    {
        "name": "pycountry",
        "version": "26.2.16",
        "licence": "LGPL-2.1-only",
        "url": "https://github.com/pycountry/pycountry",
    },
    {"name": "Sphinx", "version": "8.2", "licence": "BSD-2-Clause", "url": "https://www.sphinx-doc.org/"},
]


@pytest.fixture(scope="session")
def run_record():
    """A full-size record: 110 tags, 700 steps, an evaluation every 50."""
    return _record(GROUPS, steps=700, every=50, seed=0)


@pytest.fixture(scope="session")
def small_record():
    """A record small enough to read: five languages and code."""
    tags = ("eng_Latn", "cmn_Hans", "isl_Latn", "nob_Latn", "amh_Ethi", "code")
    return _record({tag: GROUPS[tag] for tag in tags}, steps=30, every=10, seed=1)


@pytest.fixture(scope="session")
def make_retrieval():
    """Build what `bitext_accuracy` gives back, at a chosen level of skill."""

    def make(skill, groups=GROUPS):
        rng = np.random.default_rng(3)
        languages = {}
        for tag, group in groups.items():
            if tag in ("eng_Latn", "code"):
                continue
            ease = {"high": 0.75, "mid": 0.6, "low": 0.4}[group] * rng.uniform(0.55, 1.15)
            accuracy = round(float(min(0.99, 0.04 + skill * ease)), 4)
            languages[tag] = {
                "pairs": 120,
                "to_english": accuracy,
                "from_english": accuracy,
                "accuracy": accuracy,
                "chance": 1 / 120,
            }
        values = [scores["accuracy"] for scores in languages.values()]
        by_group = {
            group: float(np.mean([scores["accuracy"] for tag, scores in languages.items() if groups[tag] == group]))
            for group in ("high", "low", "mid")
        }
        return {
            "languages": languages,
            "macro": float(np.mean(values)),
            "groups": by_group,
            "skipped_languages": {"cor_Latn": 4},
            "skipped": {"untranslated": 31},
        }

    return make


def _record(groups, *, steps, every, seed):
    rng = np.random.default_rng(seed)
    counts = {tag: int(4_000_000 / (rank + 1) ** 1.1 * rng.uniform(0.6, 1.6)) + 900 for rank, tag in enumerate(groups)}
    counts["code"] = 700_000
    enters = {"high": 0, "code": 0, "mid": 1, "low": 2}
    phases = [
        ("pretrain", 0.7, 0.30, 256, 10_000.0, 0.55),
        ("midtrain", 0.5, 0.15, 512, 160_000.0, 0.30),
        ("decay", 0.3, 0.05, 512, 160_000.0, 0.15),
    ]
    tokens_a_step = 4096
    borders = np.cumsum([round(steps * phase[5]) for phase in phases])
    borders[-1] = steps
    shares, recipe_phases = {}, []
    for number, (name, temperature, ratio, context, theta, _) in enumerate(phases):
        inside = [tag for tag in groups if enters[groups[tag]] <= number]
        weights = np.array([counts[tag] ** temperature for tag in inside])
        target = 0.95 * weights / (weights.sum() - weights[inside.index("code")])
        target[inside.index("code")] = 0.05
        length = int(borders[number] - (borders[number - 1] if number else 0))
        seen = rng.multinomial(length * 30, target / target.sum()) / (length * 30)
        shares[name] = {
            tag: {
                "target": float(target[i]),
                "seen": float(seen[i]),
                "epochs": float(seen[i] * length * tokens_a_step / counts[tag]),
            }
            for i, tag in enumerate(inside)
        }
        recipe_phases.append(
            {
                "name": name,
                "languages": inside,
                "temperature": temperature,
                "masking_ratio": ratio,
                "context_length": context,
                "rope_theta": theta,
                "tokens": length * tokens_a_step,
                "learning_rate": 8e-4,
            }
        )
    step_rows, evaluations = [], []
    level = {tag: 9.2 for tag in groups}
    ease = {tag: rng.uniform(0.75, 1.25) for tag in groups}
    for step in range(1, steps + 1):
        number = int(np.searchsorted(borders, step))
        name, _, ratio, *_ = phases[number]
        start = borders[number - 1] if number else 0
        warmup = min(1.0, step / max(1, steps // 20))
        decay = 1.0 if number < 2 else 1 - np.sqrt((step - start) / (steps - start))
        for tag in groups:
            rate = 2.6 / steps if tag in shares[name] else 0.5 / steps
            level[tag] = max(2.4, level[tag] - ease[tag] * rate * (level[tag] - 2.0))
        step_rows.append(
            {
                "step": step,
                "tokens": step * tokens_a_step,
                "phase": name,
                "loss": float(np.mean(list(level.values())) + rng.normal(0, 0.1)),
                "masking_ratio": ratio,
                "learning_rate": float(8e-4 * warmup * max(decay, 0.02)),
                "tokens_per_second": 9000.0,
            }
        )
        if step % every == 0 or step in borders:
            losses = {tag: round(float(level[tag] + rng.normal(0, 0.03)), 4) for tag in groups}
            group_loss = {
                group: round(float(np.mean([losses[tag] for tag in groups if groups[tag] == group])), 4)
                for group in sorted(set(groups.values()))
            }
            evaluations.append(
                {
                    "step": step,
                    "tokens": step * tokens_a_step,
                    "phase": name,
                    "loss": losses,
                    "group_loss": group_loss,
                }
            )
    return {
        "recipe": {"name": "demo", "seed": 7, "phases": recipe_phases},
        "variant": None,
        "model": {"parameters": 5_242_880, "hidden_size": 192, "num_hidden_layers": 6, "vocab_size": 16_384},
        "data": {
            "sources": SOURCES,
            "fingerprint": "9f2c4be1d0a7",
            "skipped": {"empty": 12, "plural forms differ": 3},
            "languages": {
                tag: {"tokens": counts[tag], "documents": counts[tag] // 60, "group": groups[tag]} for tag in groups
            },
        },
        "steps": step_rows,
        "shares": shares,
        "evaluations": evaluations,
        "seconds": 287.4,
        "versions": {"torch": "2.13.0", "transformers": "5.23.0"},
    }
