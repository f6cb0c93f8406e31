"""What the device can do, against the kernel's list of instructions and made-up machines; what is said about it."""

import re
import sys
from pathlib import Path

import pytest
import torch
from mmbert import MmBertModel
from mmbert.cli.checkpoints.doctor import machine_report
from mmbert.modeling import hardware
from mmbert.modeling.hardware import Runtime, compiler_obstacle, describe_runtime, has_fast_bf16, preferred_dtype

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
ABSENT = {"avx512_bf16": False, "amx_bf16": False, "num_physical_cores": 4}
PRESENT = {**ABSENT, "avx512_bf16": True}


@pytest.fixture
def processor(monkeypatch):
    """Make torch report other instructions than this machine's."""

    def pretend(features):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)

    return pretend


@pytest.fixture
def ampere(monkeypatch):
    """Make torch report a GPU with tensor cores for bf16, its varlen kernel and no flash-attn."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Some GPU")
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(hardware, "varlen_obstacle", lambda device, dtype: None)
    monkeypatch.setattr(hardware, "is_flash_attn_2_available", lambda: False)
    monkeypatch.setattr(hardware, "compiler_obstacle", lambda device: None)


@pytest.fixture
def cores(monkeypatch):
    """Make four cores free to use, and threads of any number."""
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)  # two threads a core
    monkeypatch.setattr(hardware, "QUOTA", Path("no such file"))

    def use(threads):
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    return use


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="the kernel's list of instructions is Linux's")
def test_the_answer_is_that_of_the_kernels_list_of_instructions():
    words = set(re.findall(r"\w+", Path("/proc/cpuinfo").read_text()))
    assert has_fast_bf16(CPU) == bool({"avx512_bf16", "amx_bf16", "bf16"} & words)


@pytest.mark.parametrize(
    "features, fast",
    [
        ({"architecture": "x86_64", "avx512_bf16": True}, True),  # Zen 4, Cooper Lake
        ({"architecture": "x86_64", "amx_bf16": True, "amx_tile": True}, True),  # Sapphire Rapids
        ({"architecture": "arm64", "neon": True, "bf16": True}, True),  # Neoverse V1
        ({"architecture": "x86_64", "avx512_f": True, "avx512_vnni": True, "avx512_bf16": False}, False),
        ({"architecture": "arm64", "neon": True, "bf16": False}, False),
        ({"architecture": "ppc64"}, False),
    ],
)
def test_processors_with_bf16_instructions_prefer_bf16(processor, features, fast):
    processor(features)
    assert has_fast_bf16(CPU) == fast
    assert preferred_dtype(CPU) == (torch.bfloat16 if fast else torch.float32)


def test_without_onednn_the_instructions_are_of_no_use(processor, monkeypatch):
    processor({"architecture": "arm64", "bf16": True})  # an Apple M2
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert preferred_dtype(CPU) == torch.float32


@pytest.mark.parametrize("avx512, amx", [(True, False), (False, True), (False, False)])
def test_an_older_torch_is_asked_in_its_own_words(monkeypatch, avx512, amx):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert has_fast_bf16(CPU) == (avx512 or amx)


@pytest.mark.parametrize("supported", [True, False])
def test_an_older_torch_on_arm_is_asked_for_onednns_answer(monkeypatch, supported):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported, raising=False)
    assert has_fast_bf16(CPU) == supported


@pytest.mark.parametrize("capability, fast", [((7, 0), False), ((7, 5), False), ((8, 0), True), ((12, 0), True)])
def test_gpus_from_ampere_on_prefer_bf16(ampere, monkeypatch, capability, fast):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    assert preferred_dtype(GPU) == (torch.bfloat16 if fast else torch.float32)


def test_other_devices_prefer_fp32():
    assert [preferred_dtype(torch.device(kind)) for kind in ("mps", "xpu", "meta")] == [torch.float32] * 3


def test_a_recorded_graph_may_ask():
    ask = torch.compile(lambda x: x + 1 if has_fast_bf16(x.device) else x - 1, backend="eager", fullgraph=True)
    assert float(ask(torch.zeros(()))) == (1 if has_fast_bf16(CPU) else -1)


@pytest.mark.parametrize(
    "features, dtype, advice",
    [
        (PRESENT, torch.float32, 'dtype="bfloat16"'),
        (PRESENT, torch.float16, 'dtype="bfloat16"'),
        (ABSENT, torch.bfloat16, 'dtype="float32"'),  # emulated
        (PRESENT, torch.bfloat16, None),
        (ABSENT, torch.float32, None),
    ],
)
def test_advice_on_the_dtype_is_given_where_another_is_faster(processor, cores, features, dtype, advice):
    processor(features)
    cores(4)
    found = [remedy for remedy in Runtime(CPU, dtype, "sdpa", compiled=True).remedies() if "dtype" in remedy]
    assert found == ([advice] if advice else [])


@pytest.mark.parametrize("threads, advice", [(1, "OMP_NUM_THREADS=4"), (4, None), (8, None)])
def test_advice_on_threads_counts_physical_cores(processor, cores, threads, advice):
    processor(PRESENT)
    cores(threads)
    remedies = Runtime(CPU, torch.bfloat16, "sdpa", compiled=True).remedies()
    assert remedies == ([advice] if advice else [])


@pytest.mark.parametrize("quota, advice", [("200000 100000\n", ["OMP_NUM_THREADS=2"]), ("max 100000\n", None)])
def test_a_containers_quota_limits_the_threads_advised(processor, cores, monkeypatch, tmp_path, quota, advice):
    processor(PRESENT)
    cores(1)
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(hardware, "QUOTA", tmp_path / "cpu.max")
    advised = Runtime(CPU, torch.bfloat16, "sdpa", compiled=True).remedies()
    assert advised == (advice or ["OMP_NUM_THREADS=4"])


def test_on_a_gpu_flash_attn_is_advised_only_where_torch_has_no_such_kernel(ampere, monkeypatch):
    runtime = Runtime(GPU, torch.bfloat16, "sdpa", compiled=True)
    assert runtime.remedies() == [] and runtime.describe_attention() == "sdpa (torch's varlen kernel)"
    monkeypatch.setattr(hardware, "varlen_obstacle", lambda device, dtype: "too old a torch")
    assert runtime.remedies() == ['pip install "mmbert[gpu]"']
    assert Runtime.planned(GPU).attention == "sdpa"
    monkeypatch.setattr(hardware, "is_flash_attn_2_available", lambda: True)
    assert runtime.remedies() == ['attn_implementation="flash_attention_2"']
    assert Runtime.planned(GPU).attention == "flash_attention_2"
    assert Runtime(GPU, torch.float32, "sdpa", compiled=True).remedies() == ['dtype="bfloat16"']


def test_eager_is_advised_against(cores):
    cores(4)
    runtime = Runtime(CPU, preferred_dtype(CPU), "eager", compiled=True)
    assert 'attn_implementation="sdpa"' in runtime.remedies()


def test_a_model_is_described_in_one_line(tiny, processor, cores):
    processor(PRESENT)
    cores(1)
    model = MmBertModel(tiny())
    assert describe_runtime(model) == (
        'float32, sdpa (sliding layers in blocks), 1 thread on cpu; faster: dtype="bfloat16", OMP_NUM_THREADS=4'
    )
    cores(4)
    attention = "sdpa (sliding layers in blocks)"
    assert describe_runtime(model.bfloat16(), advise=False) == f"bfloat16, {attention}, 4 threads on cpu"
    model.compile(backend="eager")
    assert describe_runtime(model) == f"bfloat16, {attention}, compiled, 4 threads on cpu"


def test_compiling_is_advised_on_a_gpu_with_what_it_still_needs(ampere, monkeypatch):
    runtime = Runtime(GPU, torch.bfloat16, "sdpa")
    assert runtime.remedies() == ["compile=True"]
    monkeypatch.setattr(hardware, "compiler_obstacle", lambda device: "pip install triton")
    assert runtime.remedies() == ["compile=True (pip install triton)"]


def test_a_missing_compiler_is_named_with_its_remedy(monkeypatch):
    with torch._inductor.config.patch({"cpp.cxx": (None, "no-such-compiler")}):
        assert "needs a C++ compiler on a CPU: install g++" in compiler_obstacle(CPU)
    monkeypatch.setattr("sysconfig.get_path", lambda name: "no such folder")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    with torch._inductor.config.patch({"cpp.cxx": (None, sys.executable)}):  # something that knows --version
        assert "needs Python.h" in compiler_obstacle(CPU)


def test_other_devices_are_not_told_to_compile():
    assert "not tried on mps" in compiler_obstacle(torch.device("mps"))
    assert Runtime(torch.device("mps"), torch.float32, "sdpa").remedies() == []


@pytest.mark.parametrize(
    "features, dtype, says", [(PRESENT, "bfloat16", "yes"), (ABSENT, "float32", "no")], ids=["present", "absent"]
)
def test_doctor_says_what_our_entry_points_run(processor, cores, monkeypatch, features, dtype, says):
    processor(features)
    cores(1)
    monkeypatch.setattr(hardware, "default_device", lambda: CPU)
    device, runs, attention, faster = machine_report()
    assert device.startswith("device: cpu (") and device.endswith(f"bf16 instructions {says}")
    assert runs.startswith(f"dtype: {dtype} ") and attention == "attention: sdpa (sliding layers in blocks)"
    assert faster == "faster: OMP_NUM_THREADS=4"


def test_doctor_knows_gpus(ampere, monkeypatch):
    monkeypatch.setattr(hardware, "default_device", lambda: GPU)
    assert machine_report() == [
        "device: Some GPU, bf16 instructions yes",
        "dtype: bfloat16 for embedding unless told otherwise; from_pretrained keeps the checkpoint's",
        "attention: sdpa (torch's varlen kernel)",
        "faster: compile=True",
    ]
