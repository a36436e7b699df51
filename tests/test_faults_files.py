"""Files that are damaged, hostile or of another kind: each is a sentence and leaves no trace."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from ldm_core.engine.engine import Engine
from ldm_core.errors import AtelierError, ConfigError, ModelError, ModelFileError, NotFinite, WeightsError
from ldm_core.formats.folders import read_json
from ldm_core.formats.reading import read_shapes, read_state_dict
from ldm_core.library.index import Index
from ldm_core.library.models import ModelLibrary
from ldm_core.request import TextToImage
from tests import tiny
from tests.checkpoints import BAD_SAFETENSORS, DAMAGES, archive, good_archive, refused, written

ROOT = Path(__file__).resolve().parent.parent
SMALL = TextToImage(prompt="a lake", steps=3, width=64, height=64, seed=7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models")
    tiny.write_model(path)
    return path


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    with Engine(ModelLibrary([folder]), device="cpu") as engine:
        yield engine


def model(folder: Path, name: str, weights: dict[str, torch.Tensor]) -> None:
    save_file(weights, tiny.write_model(folder, name=name) / "model.safetensors")


def fails(engine: Engine, name: str) -> AtelierError:
    """The error of a job with that model."""
    engine.library.scan()
    with pytest.raises(AtelierError) as caught:
        engine.submit(replace(SMALL, model=name)).pictures()
    message = str(caught.value)
    assert "\n" not in message and "Traceback" not in message and "/tmp" not in message and len(message) < 600
    return caught.value


def test_no_bad_file_leaves_a_trace(engine: Engine, folder: Path) -> None:
    """Every damage of the lists of `test_formats_reading`, dropped into the folder of a running engine."""
    canary = engine.submit(SMALL).pictures()[0].tobytes()
    bad = {name: data for name, (data, _) in BAD_SAFETENSORS.items()}
    bad |= {name: damage(good_archive()) for name, damage in DAMAGES.items()}
    for number, data in enumerate(bad.values()):
        path = tiny.write_model(folder, name=f"bad {number}")
        (path / "model.safetensors").write_bytes(data)
    engine.library.scan()
    for number, name in enumerate(bad):
        entry = engine.library.entry(f"bad {number}")
        assert entry.problem and not entry.is_usable, name
        assert isinstance(fails(engine, f"bad {number}"), ModelError)
        if number % 20 == 0:
            assert engine.submit(SMALL).pictures()[0].tobytes() == canary, name
    assert engine.submit(SMALL).pictures()[0].tobytes() == canary


def test_weights_of_nothing_and_of_far_too_much(engine: Engine, folder: Path) -> None:
    """All zeros is a picture; weights times 1e6 are told, not shown as black."""
    canary = engine.submit(SMALL).pictures()[0].tobytes()
    weights = tiny.weights()
    model(folder, "zeros", {name: torch.zeros_like(t) for name, t in weights.items()})
    engine.library.scan()
    assert engine.submit(TextToImage(model="zeros", steps=2, width=64, height=64)).pictures()
    model(folder, "huge", {n: t.float() * 1e6 if "diffusion_model" in n else t for n, t in weights.items()})
    engine.library.scan()
    try:
        picture = engine.submit(TextToImage(model="huge", steps=2, width=64, height=64)).pictures()[0]
        assert picture.max() > 0
    except NotFinite as error:
        assert "NaN or infinity" in str(error)
    assert engine.submit(SMALL).pictures()[0].tobytes() == canary


def test_a_tenth_of_the_tensors_is_missing(engine: Engine, folder: Path) -> None:
    names = sorted(tiny.weights())
    gone = [n for n in names if n.startswith("model.diffusion_model.") and n.endswith("bias")][::2]
    model(folder, "holes", {n: t for n, t in tiny.weights().items() if n not in gone})
    error = fails(engine, "holes")
    assert isinstance(error, WeightsError) and str(len(gone)) in str(error) and gone[0] in str(error)


def test_a_vocabulary_that_is_none(engine: Engine, folder: Path) -> None:
    path = tiny.write_model(folder, name="words")
    for data in (b"\xff\xfe\x00", b"", b"a\nb\n", b"x" * 17_000_000, b"a\n" * 4_000_000):
        (path / "vocab.txt").write_bytes(data)
        began = time.process_time()
        assert isinstance(fails(engine, "words"), ConfigError)
        assert time.process_time() - began < 5


# Pickles -------------------------------------------------------------------------------------------------

# Names that scanners of pickles were published to miss, and their neighbours.
BYPASSES = """
    os.system posix.system nt.system os.popen os.execv os.spawnl os.startfile os.putenv os.remove
    shutil.rmtree subprocess.Popen subprocess.run subprocess.call subprocess.getoutput pty.spawn
    commands.getoutput builtins.eval builtins.exec builtins.compile builtins.open builtins.getattr
    builtins.setattr builtins.__import__ builtins.breakpoint builtins.input builtins.apply builtins.vars
    __builtin__.eval __builtin__.execfile importlib.import_module importlib.reload runpy.run_path
    runpy._run_code imp.load_source pkgutil.resolve_name pip.main pip._internal.main ensurepip._run_pip
    venv.create zipimport.zipimporter code.InteractiveInterpreter codeop.compile_command timeit.timeit
    cProfile.run profile.run trace.Trace pdb.run bdb.Bdb doctest.debug_script
    idlelib.pyshell.ModifiedInterpreter idlelib.autocomplete.AutoComplete
    lib2to3.pgen2.grammar.Grammar.loads lib2to3.pgen2.pgen.ParserGenerator.make_label
    operator.attrgetter operator.methodcaller functools.partial functools.reduce itertools.starmap
    types.FunctionType types.CodeType ctypes.CDLL _ctypes.dlopen cffi.FFI marshal.loads pickle.loads
    _pickle.loads cloudpickle.load dill.loads joblib.load shelve.open torch.load torch.jit.load
    torch.hub.load torch.utils.cpp_extension.load
    torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression
    torch._inductor.codecache.compile_file torch.distributed.rpc.rpc_sync torch.serialization.load
    torch._dynamo.guards.GuardBuilder.get torch.utils._config_module.load_config
    torch.utils.collect_env.run torch.utils.bottleneck.__main__.run_autograd_prof torch.nn.Module
    torch.nn.modules.linear.Linear torch.storage.TypedStorage torch.ops.load_library numpy.load
    numpy.testing._private.utils.runstring numpy.f2py.crackfortran.getlincoef
    numpy.core.records.fromfile asyncio.unix_events._UnixSubprocessTransport._start
    asyncio.create_subprocess_shell multiprocessing.Process socket.create_connection
    urllib.request.urlopen http.client.HTTPSConnection requests.api.get aiohttp.ClientSession
    httplib.HTTPSConnection smtplib.SMTP ftplib.FTP webbrowser.open logging.config.listen sys.exit
    sys.settrace signal.signal os.kill threading.Thread _thread.start_new_thread gc.get_objects
    linecache.getlines tensorflow.keras.models.load_model transformers.AutoModel.from_pretrained
    yaml.unsafe_load jsonpickle.decode distutils.file_util.write_file
    test.support.script_helper.assert_python_ok uuid._get_command_stdout ssl.get_server_certificate
    sqlite3.connect glob.glob pathlib.Path.write_text tempfile.mktemp fileinput.input
""".split()


def calls(name: str, protocol: int) -> bytes:
    """A pickle that calls a function by name with one text, and is a state dict as well."""
    module, _, attribute = name.rpartition(".")
    if protocol == 4:
        names = (
            b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, attribute)) + b"\x93"
        )
    else:
        names = f"c{module}\n{attribute}\n".encode()
    return b"\x80" + bytes([protocol]) + b"}X\x01\x00\x00\x00w" + names + b"X\x04\x00\x00\x00true\x85Rs."


@pytest.mark.parametrize("protocol", [2, 4])
def test_published_bypasses_are_refused_by_name(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert len(BYPASSES) >= 60
    for name in BYPASSES:
        message = refused(written(tmp_path / "m.ckpt", archive(calls(name, protocol))))
        assert "asks to run" in message and "nothing was run" in message, name


def test_reading_hostile_files_starts_no_process_and_opens_no_socket(tmp_path: Path) -> None:
    """Python's own audit: no process and no socket while such files are read and indexed."""
    for number, name in enumerate(BYPASSES):
        (tmp_path / f"{number}.ckpt").write_bytes(archive(calls(name, 2)))
    (tmp_path / "evil.py").write_text("raise SystemExit")
    pipeline = tmp_path / "pipeline"
    (pipeline / "unet").mkdir(parents=True)
    index = {"_class_name": ["evil", "Popen"], "unet": ["subprocess", "Popen"], "_diffusers_version": "0"}
    (pipeline / "model_index.json").write_text(json.dumps(index))
    (pipeline / "pipeline.py").write_text("raise SystemExit")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ldm_core.formats import identify\n"
        "from ldm_core.library.index import Index\n"
        "seen, modules, folder = [], set(sys.modules), Path(sys.argv[1])\n"
        "def hook(event, arguments):\n"
        "    starts = ('subprocess.', 'os.exec', 'os.posix', 'os.system', 'os.fork', 'socket.')\n"
        "    bad = event.startswith(starts)\n"
        "    if bad: seen.append((event, str(arguments)[:200]))\n"
        "sys.addaudithook(hook)\n"
        "entries = Index([folder]).scan()\n"
        "assert entries and not any(e.is_usable for e in entries.values())\n"
        "new = {m.partition('.')[0] for m in set(sys.modules) - modules}\n"
        "print(seen, sorted(new & {'evil', 'pipeline', 'pip', 'pty'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[] []"


def test_an_exported_program_is_not_opened(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in ("archive_format", "models/model.json", "data/weights/weight_0", "version"):
            file.writestr(f"program/{name}", b"pt2")
    assert "not a checkpoint" in refused(written(tmp_path / "m.pt2", out.getvalue()))


def test_shapes_are_read_as_safely_as_weights(tmp_path: Path) -> None:
    """What the index reads refuses what loading refuses, but for the values of weights."""
    for number, (data, _) in enumerate(BAD_SAFETENSORS.values()):
        with pytest.raises(ModelFileError):
            read_shapes(written(tmp_path / f"{number}.safetensors", data))
    weights = {
        "a.weight": torch.ones(3, 4),
        "betas": torch.linspace(0.1, 0.2, 10),
        "b.half": torch.ones(2).half(),
    }
    save_file(weights, tmp_path / "m.safetensors")
    torch.save({"state_dict": weights}, tmp_path / "m.ckpt")
    for name in ("m.safetensors", "m.ckpt"):
        shapes, whole = read_shapes(tmp_path / name), read_state_dict(tmp_path / name)
        assert {k: (t.shape, t.dtype) for k, t in shapes.items()} == {
            k: (t.shape, t.dtype) for k, t in whole.items()
        }
        assert shapes["a.weight"].is_meta and torch.equal(shapes["betas"], weights["betas"])


# Folders -------------------------------------------------------------------------------------------------

BAD_JSON = {
    "list": b"[]",
    "cut": b'{"a": {"b": ',
    "deep": b'{"a":' * 100_000,
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "twice": b'{"a": 1, "a": 2}',
    "not UTF-8": b'{"a": "\xff"}',
    "long number": b'{"a": ' + b"9" * 5000 + b"}",
    "large": b'{"a": "' + b"x" * 2_000_000 + b'"}',
    "empty": b"",
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_json_that_is_none(case: str, tmp_path: Path) -> None:
    path = written(tmp_path / "model_index.json", BAD_JSON[case])
    began = time.process_time()
    with pytest.raises(ConfigError, match=r"model_index\.json"):
        read_json(path)
    assert time.process_time() - began < 1
    entry = Index([tmp_path.parent]).scan()[tmp_path.name]
    assert not entry.is_usable and "model_index.json" in entry.problem


def test_json_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert read_json(written(tmp_path / "a.json", b'\xef\xbb\xbf{"a": 1}')) == {"a": 1}


def test_a_description_of_another_family(engine: Engine, folder: Path) -> None:
    path = tiny.write_model(folder, name="other family")
    config = yaml.safe_load((path / "config.yaml").read_text())
    config["model"]["params"]["unet_config"]["params"]["context_dim"] = 64
    config["model"]["params"]["cond_stage_config"]["params"]["n_embed"] = 64
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    message = str(fails(engine, "other family"))
    assert "64" in message and "32" in message


@pytest.mark.parametrize("target", ["os.system", "subprocess.Popen", "evil.Model", "builtins.eval"])
def test_a_description_that_names_a_program(target: str, engine: Engine, folder: Path) -> None:
    path = tiny.write_model(folder, name=target)
    text = (path / "config.yaml").read_text().replace("ldm.models.diffusion.ddpm.LatentDiffusion", target)
    (path / "config.yaml").write_text(text)
    assert target in str(fails(engine, target)) and "evil" not in sys.modules
