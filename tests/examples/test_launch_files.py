"""The launch files: accelerate reads each YAML as meant, and the SLURM script starts what it says on every node."""

import json
import os
import subprocess
from pathlib import Path

import mmbert
import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from mmbert.modeling.layers import MmBertEncoderLayer

EXAMPLES = Path(mmbert.__file__).parent / "examples"
CONFIGS = sorted((EXAMPLES / "accelerate").glob("*.yaml"))


def test_there_is_one_for_each_way():
    assert [path.stem for path in CONFIGS] == ["ddp", "deepspeed", "fsdp2", "two_nodes"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_accelerate_reads_it(path):
    config = load_config_from_file(str(path))
    assert not (set(yaml.safe_load(path.read_text())) - set(vars(config)))  # a key it does not know would be dropped
    machines = 2 if path.stem == "two_nodes" else 1
    assert (config.num_machines, config.num_processes, config.mixed_precision) == (machines, 8 * machines, "bf16")
    expected = {"fsdp2": "FSDP", "deepspeed": "DEEPSPEED"}.get(path.stem, "MULTI_GPU")
    assert config.distributed_type == expected


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_launcher_takes_it(path):
    """What `accelerate launch` would start by, with the file's settings merged into its own."""
    arguments = launch_command_parser().parse_args(["--config_file", str(path), "run_mlm.py", "--recipe", "demo"])
    try:
        merged, _, _ = _validate_launch_command(arguments)
    except ImportError as missing:  # DeepSpeed is not installed here
        pytest.skip(str(missing))
    assert merged.num_processes == 8 * merged.num_machines
    if path.stem == "fsdp2":
        assert merged.use_fsdp and merged.fsdp_version == 2
        assert merged.fsdp_transformer_layer_cls_to_wrap == MmBertEncoderLayer.__name__
        assert merged.fsdp_state_dict_type == "FULL_STATE_DICT"
    elif path.stem == "deepspeed":
        assert merged.use_deepspeed and merged.zero_stage == 2
    else:
        assert merged.multi_gpu and merged.main_process_port in (None, 29500)


def test_the_slurm_script_starts_one_launcher_a_node(tmp_path):
    """SLURM's commands are stand-ins here: `srun` runs its command once a node, as the real one does."""
    tools = tmp_path / "bin"
    tools.mkdir()
    record = 'python3 -c "import json,sys; print(json.dumps(sys.argv[1:]))" "$@" >> "$RECORD"'
    for name, body in {
        "scontrol": 'printf "node7\\nnode8\\n"',
        "srun": 'shift; for n in 0 1; do SLURM_NODEID=$n "$@"; done',
        "accelerate": record,
    }.items():
        (tools / name).write_text(f"#!/bin/bash\n{body}\n")
        (tools / name).chmod(0o755)
    slurm = {"SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "node[7-8]", "SLURM_JOB_ID": "4017"}
    environment = {**os.environ, **slurm, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"RECORD": str(tmp_path / "record"), "SLURM_GPUS_ON_NODE": "4", "SLURM_SUBMIT_DIR": "/tree"}
    command = ["bash", str(EXAMPLES / "slurm" / "pretrain.sh"), "mmbert-base", "/shared/my run", "--save_steps", "500"]
    subprocess.run(command, check=True, env=environment, timeout=60)
    calls = [json.loads(line) for line in (tmp_path / "record").read_text().splitlines()]
    assert len(calls) == 2
    for rank, call in enumerate(calls):
        arguments, unknown = launch_command_parser().parse_known_args(call[1:])
        assert call[0] == "launch" and not unknown
        assert (arguments.num_machines, arguments.num_processes, arguments.machine_rank) == (2, 8, rank)
        assert (arguments.main_process_ip, arguments.main_process_port) == ("node7", 29517)
        assert arguments.training_script == "/tree/examples/run_mlm.py"
        given = arguments.training_script_args
        assert given[:4] == ["--recipe", "mmbert-base", "--output_dir", "/shared/my run"]
        assert given[-2:] == ["--save_steps", "500"]


def test_the_slurm_script_says_what_it_needs():
    command = ["bash", str(EXAMPLES / "slurm" / "pretrain.sh"), "mmbert-base"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "usage: sbatch pretrain.sh RECIPE OUTPUT_DIR" in done.stderr
