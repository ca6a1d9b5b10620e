"""Coverage-guided fuzzing of the decoders in plain Python: `spec/reference.py` beside the library.

Needs `pip install -e ".[test]" "atheris>=3"`; then, from the root of the repository:

    python tests/fuzz/fuzz_frame.py FOLDER -max_total_time=600     # new inputs go to FOLDER
    python tests/fuzz/fuzz_frame.py crash-FILE                     # one input again
    python tests/fuzz/fuzz_frame.py --renew -max_total_time=1500   # tests/fuzz/corpus made anew

Each input is tried as it is and re-sealed, and has to pass `oracle.py`. The vectors of the
specification and the corpus are seeds; the mutations are libFuzzer's, with a sound frame of
`generator.py` now and then. All other options are libFuzzer's too.
"""

import functools
import random
import resource
import shlex
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
VECTORS = HERE.parents[1] / "spec" / "vectors" / "1"
SEEDS = [CORPUS, *(VECTORS / kind for kind in ("valid", "uncommon", "faulty"))]
MAX_LEN = 4096
OPTIONS = [f"-max_len={MAX_LEN}", "-timeout=10", "-rss_limit_mb=1024", "-mutate_depth=1"]
"""Most frames do not survive more than one change at a time."""

MEMORY = 512 << 20
"""Address space, in bytes, that a frame of a few kilobytes may make the decoders ask for."""

SOUND = 0.05
"""Share of inputs that are drawn anew."""


def main(arguments):
    """Fuzz, or renew the corpus."""
    if "--renew" in arguments:
        renew([argument for argument in arguments if argument != "--renew"])
        return
    import atheris

    check, draw_frame = instrumented(atheris)

    def mutate(data, max_size, seed):
        rng = random.Random(seed)
        frame = draw_frame(rng) if rng.random() < SOUND else b""
        return frame if 0 < len(frame) <= max_size else atheris.Mutate(data, max_size)

    folders = [argument for argument in arguments if Path(argument).is_dir()]
    seeds = [str(folder) for folder in SEEDS if folders and folder.is_dir()]
    # To merge, libFuzzer hands its first argument, as it is, to a shell.
    program = shlex.join([sys.executable, __file__])
    atheris.Setup([program, *OPTIONS, *arguments, *seeds], check, custom_mutator=mutate)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, -1))
    atheris.Fuzz()


def instrumented(atheris):
    """(what each input has to pass, the generator of frames), with the decoders instrumented."""
    root = HERE.parents[1]
    sys.path[:0] = [str(root / "spec"), str(root), str(HERE.parent), str(HERE)]
    with atheris.instrument_imports(["reference"]):
        import reference
    # Hashes and tables of codes take most of the time, and nothing branches on an input in them.
    slow = [f"gcodec.kernels.reference.{name}" for name in ("checksum", "huffman")]
    hooks = atheris.instrument_imports(["gcodec"], exclude=slow)
    # Atheris 3.0 never lets go of an array that comes of a comparison.
    hooks._trace_dataflow = False
    with hooks:
        import oracle

        from gcodec.kernels import reference as kernels

        # Modules of the library are imported when first used.
        oracle.by_library(b"", "reference")
    import numpy as np
    import xxhash
    from anatomy import reseal
    from document import STEPS
    from generator import draw_frame

    def xxh64(data, seed):
        return xxhash.xxh64_intdigest(data, seed)

    @functools.lru_cache(1024)
    def table_of(lengths, make=kernels.unpack.decode_table):
        table = np.zeros(4096, np.uint16)
        return make(np.frombuffer(lengths, np.uint8), table), table

    def decode_table(lengths, table):
        complete, table[:] = table_of(lengths.tobytes())
        return complete

    # Where a reader ends counts as coverage too: steps share their code, and codecs their loops.
    ends = product([0, *STEPS], range(32), range(32))
    counters = {end: atheris._reserve_counter() for end in ends}

    def watched(read, codecs):
        def call(*arguments):
            key_codec, value_codec = codecs(*arguments)
            try:
                answer = read(*arguments)
            except reference.FrameError as error:
                step = int(str(error).partition(":")[0].removeprefix("step "))
                atheris._trace_branch(counters[step, key_codec, 0])
                raise
            atheris._trace_branch(counters[0, key_codec, value_codec])
            return answer

        return call

    def kind_of_frame(data):
        frame_kind, element = data[51:53].ljust(2, b"\0")
        return 0, (8 * frame_kind + element) % 32

    reference.decode = watched(reference.decode, kind_of_frame)
    reference.read_chunk = watched(
        reference.read_chunk, lambda i, c, *_: (c.key_codec, c.val_codec)
    )
    reference.xxh64 = kernels.xxh64 = kernels.unpack.xxh64 = xxh64
    kernels.unpack.decode_table = decode_table

    def check(data):
        for content in oracle.variants(data, reseal):
            spec = oracle.by_spec(content)
            # Most of the time would go into readers that share all but their last line.
            library = oracle.by_library(content, "reference", crc32(content) % 8 == 0)
            assert spec == library, f"spec/reference.py: {spec}, the library: {library}"

    return check, draw_frame


def renew(options):
    """Fuzz from the seeds on, and keep the smallest inputs that cover all that was found."""
    with TemporaryDirectory() as found, TemporaryDirectory() as kept:
        merge = ["-set_cover_merge=1", "-use_counters=0", kept, found]
        for arguments in ([found, *options], merge):
            subprocess.run([sys.executable, __file__, *arguments], check=True)
        shutil.rmtree(CORPUS, ignore_errors=True)
        CORPUS.mkdir()
        for file in sorted(Path(kept).iterdir()):
            shutil.copy(file, CORPUS / f"{file.name[:16]}.gc")


if __name__ == "__main__":
    main(sys.argv[1:])
