"""netc and its trainers are contained: under strace they run nothing but `cc` and its helpers (a trainer nothing at all), reach
no network, read what is declared and write only there and in TMPDIR, where nothing is left. File names full of what a shell, a
linker or a format string would mind are names like any other. The headers of netc and of trainers say: hardened."""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

from _models import CONVOLUTION, DENSE, STAGED
from _trainer import ENVIRONMENT, NETC, Folder, build, write_blobs

SANITIZED = "--sanitize" in os.environ.get("NETC_FLAGS", "").split()     # the sanitizers open and call what they like
SOURCE = DENSE.replace("RULE", "adam(0.01)").replace("epochs   30", "epochs   1\n  predict  class = argmax(scores)")
CC = {"cc", "gcc", "clang", "collect2", "ld", "ld.bfd", "ld.gold", "ld.lld", "mold", "lto-wrapper"}
# what libraries look at: the loader's, the C library's, the machine's description, random numbers
SYSTEM = re.compile(r"/(lib|lib64|usr/lib|usr/lib64|usr/local/lib|usr/share/locale|usr/share/zoneinfo|proc|sys)/.*"
                    r"|/etc/(ld\.so\.[\w.]+|localtime|timezone|locale\.\w+|ssl/openssl\.cnf|gai\.conf|OpenCL/.*)|/dev/(null|u?random|tty)")
failed = 0


def expect(what, holds, text=""):
    global failed
    failed += not holds
    print(f"{'ok    ' if holds else 'FAILED'} {what}" + ("" if holds else f"\n{text}"))


def tree(path):
    """Every file below, as bytes: names here need not be UTF-8."""
    path = os.fsencode(path)
    return {os.path.relpath(os.path.join(at, name), path) for at, folders, files in os.walk(path) for name in folders + files}


# ---- what is run, read and written

class Trace:
    """The calls of a process and its children: (process, call, arguments as text, result as text)."""

    def __init__(self, args, cwd, env):
        log = cwd / "strace.log"
        command = ["strace", "-f", "-qq", "-s", "4096", "-o", str(log), "-e", "trace=%process,%network,%file", *map(str, args)]
        self.done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.calls, waiting = [], {}
        for line in log.read_text(errors="replace").splitlines():
            pid, line = line.split(None, 1)
            if line.endswith("<unfinished ...>"):
                waiting[pid] = line[:-len("<unfinished ...>")]
                continue
            again = re.match(r"<\.\.\. \w+ resumed>", line)
            line = waiting.pop(pid, "") + line[again.end():] if again else line
            found = re.match(r"(\w+)\((.*)\) += (.*)", line)
            if found:
                self.calls.append((pid, *found.groups()))
        log.unlink()
        self.first, self.cwd = self.calls[0][0], str(cwd)

    def path(self, text):
        return os.path.normpath(os.path.join(self.cwd, text.encode().decode("unicode_escape")))

    def executed(self):
        """Programs beside the first, and the processes that became them."""
        return [(pid, self.path(re.match(r'"([^"]*)"', text)[1])) for pid, call, text, result in self.calls[1:]
                if call.startswith("execve") and result.startswith("0")]

    def sockets(self):
        return [f"{call}({text})" for _, call, text, _ in self.calls
                if call in ("socket", "socketpair", "connect", "bind", "sendto", "sendmsg", "listen", "accept", "accept4")]

    def opened(self, pids=None):
        """(read, written) of what was opened, made, renamed, removed or changed with success."""
        read, written = set(), set()
        for pid, call, text, result in self.calls:
            if result.startswith("-1") or pids is not None and pid not in pids:
                continue
            names = [self.path(n) for n in re.findall(r'"((?:[^"\\]|\\.)*)"', text)]
            if call in ("open", "openat", "openat2"):
                changes = re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", text)
                (written if changes else read).add(names[0])
            elif call in ("creat", "truncate", "mkdir", "mkdirat", "mknod", "mknodat", "unlink", "unlinkat", "rmdir", "chmod", "fchmodat",
                          "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "utimensat", "chown", "fchownat"):
                written.update(names)
        return read, written


def below(path, places):
    return any(path == str(p) or path.startswith(str(p) + "/") for p in places)


def contained(what, args, folder, reads, writes, helpers=frozenset()):
    """Runs it in `folder` with a TMPDIR of its own; reads and writes are places that are declared."""
    temporary = folder / "temporary"
    temporary.mkdir()
    before = tree(folder.path)
    trace = Trace(args, folder.path, {**ENVIRONMENT, "TMPDIR": str(temporary)})
    expect(f"{what}: exit code 0", trace.done.returncode == 0, trace.done.stderr)
    executed = trace.executed()
    others = {pid for pid, _ in executed}
    own = {pid for pid, *_ in trace.calls} - others
    wrong = [p for _, p in executed if re.sub(r"^.*linux-gnu-|-\d+$", "", os.path.basename(p)) not in helpers]
    expect(f"{what}: runs {'no program' if not helpers else 'nothing but cc and its own'}", not wrong, f"{wrong}")
    if helpers:
        expect(f"{what}: runs cc", executed, "strace shows no program")
    expect(f"{what}: no network", not trace.sockets(), "\n".join(trace.sockets()))
    places = [folder.path / w for w in writes] + [temporary, "/dev/null"]
    _, written = trace.opened()
    beside = [re.escape(str(folder.path / w)) + r"\.\w{6}" for w in writes] + [re.escape(str(folder / ".netc-")) + ".*"]
    wrong = [p for p in written if not below(p, places) and not re.fullmatch("|".join(beside), p)]     # renamed when complete
    expect(f"{what}: writes what is declared", not wrong, "\n".join(sorted(wrong)))
    read, _ = trace.opened(own)
    places += [folder.path / r for r in reads] + [args[0]]
    read -= {str(folder.path)} if writes else set()          # what a killed one left there is looked for
    wrong = [p for p in read if not below(p, places) and not SYSTEM.fullmatch(p)]
    expect(f"{what}: reads what is declared", not wrong, "\n".join(sorted(wrong)))
    left = {os.fsdecode(n) for n in tree(folder.path) - before}
    wrong = [n for n in left if not below(n, writes)]
    expect(f"{what}: nothing is left", not wrong, f"{wrong}")
    shutil.rmtree(temporary)
    return trace


def trace_all():
    folder = Folder()
    library = [os.path.realpath(os.path.join(os.path.dirname(NETC), p)) for p in ("lib", "../stdlib")]
    (folder / "m.net").write_text(SOURCE)
    (folder / "elsewhere").mkdir()
    write_blobs(folder / "elsewhere" / "blobs.csv", rows=200)
    (folder / "rows.csv").write_text("0.5," * 11 + "1\n")
    for what, options, out, helpers in (("build", ["-o", "m"], "m", CC), ("check", [], None, ()), ("inspect", [], None, ()),
                                        ("build --emit=llvm", ["--emit=llvm", "-o", "m.ll"], "m.ll", ())):
        command = [NETC, what.split()[0], "m.net", *options]
        contained(f"netc {what}", command, folder, ["m.net", *library], [out] if out else [], helpers)
    exe, data = folder / "m", ["--data", "blobs=elsewhere"]
    best = ["--weights", "run/best.safetensors"]
    for what, options, reads, writes in (
            ("train", [*data, "--out", "run", "--threads", "2"], [], ["run"]),
            ("train", [*data, "--out", "run", "--resume", "--epochs", "2"], [], ["run"]),
            ("train", [*data, "--out", "run", "--overwrite"], [], ["run"]),
            ("eval", [*data, *best, "--split", "test"], ["run/best.safetensors"], []),
            ("predict", [*best, "rows.csv"], ["run/best.safetensors", "rows.csv"], []),
            ("info", [], [], []),
            ("init", ["--output", "fresh.safetensors"], [], ["fresh.safetensors"]),
            ("check-gradients", [], [], []),
            ("bench", ["--seconds", "0.01"], [], []),
            ("report", ["--run", "run"], ["run"], ["run"])):
        contained(f"trainer {what} {' '.join(options[2:])}".strip(), [exe, what, *options], folder, ["elsewhere/blobs.csv", *reads], writes)


# ---- names

LONG = "n" * 240
NAMES = ["two words", "  ", "it's", 'say "yes"', "a;touch owned", "$(touch owned)", "`touch owned`", "a|touch owned", "a&touch owned&",
         "a>owned", "line\nbreak", "tab\there", "back\\slash", "back\\nslash", "-rf", "--help", "-o", "-Wl,--wrap,main", "%s%n%d", "100%",
         "*?[a-z]", "~", "$HOME", "#no comment", "@file", "a=b", "a,b", "a:b",
         "größe-δ-数", "<b>&amp;", "{brace}", "\\", "!", "\x1b[31mred",
         "\x7f", LONG, os.fsdecode(b"no\xffutf8\xc0")]


def try_name(name):
    """Source, executable, the folders of data, of the run and of temporary files, the weights: all have this name, where it stands
    first in its argument."""
    own, shown = Folder(), ascii(name if name != LONG else "240 letters")
    top = own / "all"                                       # what a name did beside it is seen, too
    first = "./" + name if name.startswith("-") else name   # as for any program
    for part in ("src", "bin/" + name, "data/" + name, "runs"):
        (top / part).mkdir(parents=True)
    (top / "src" / name).mkdir()
    (top / "src" / (name + ".net")).write_text(SOURCE.replace("blobs.csv", literal(name)))
    write_blobs(top / "data" / name / written(name), rows=80)
    (top / "runs" / "rows.csv").write_text("0.5," * 11 + "1\n")
    before = tree(top)

    def run(what, args, cwd, **env):
        done = subprocess.run([os.fsencode(a) for a in args], cwd=top / cwd, env={**ENVIRONMENT, **env}, capture_output=True,
                              stdin=subprocess.DEVNULL)
        expect(f"{shown}: {what}", done.returncode == 0, f"exit {done.returncode}\n{(done.stdout + done.stderr).decode(errors='replace')}")
        return done

    exe = f"../bin/{name}/{name}"
    run("check", [NETC, "check", "--error-format=json", first + ".net"], "src")
    run("build", [NETC, "build", "-O0", first + ".net", "-o", exe], "src", TMPDIR=name)
    run("build into the folder above", [NETC, "build", "-O0", f"../src/{first}.net", "-o", first + "/b"], "bin",
        TMPDIR="../src/" + name)
    if not (top / "bin" / name / name).exists():
        return
    data = ["--data", "blobs=../data/" + name]
    run("train", [exe, "train", *data, "--out", name], "runs")
    run("resume", [exe, "train", *data, "--out", name, "--resume", "--epochs", "2", "--quiet"], "runs")
    weights = ["--weights", first + "/best.safetensors"]
    done = run("eval", [exe, "eval", *data, *weights, "--json"], "runs")
    expect(f"{shown}: eval's JSON", is_json(done.stdout), done.stdout)
    (top / "runs" / "rows.csv").rename(top / "runs" / name / (name[:200] + ".csv"))
    for command in (["predict", *weights, f"{first}/{name[:200]}.csv"], ["info"]):
        done = run(command[0], [exe, *command, "--json"], "runs")
        expect(f"{shown}: {command[0]}'s JSON", is_json(done.stdout), done.stdout)
    for file in ("config.json", "results.json"):
        text = (top / "runs" / name / file).read_bytes()
        expect(f"{shown}: {file}", is_json(text), text)
    svg = (top / "runs" / name / "curves.svg").read_bytes()
    expect(f"{shown}: curves.svg", is_xml(svg), svg)
    html = (top / "runs" / name / "report.html").read_bytes()
    expect(f"{shown}: report.html", b"<b>&amp;" not in html, html)
    want = {os.fsencode(n) for n in (f"bin/{name}/{name}", f"bin/{name}/b", f"runs/{name}")}
    wrong = [n for n in tree(top) - before if n not in want and not n.startswith(os.fsencode(f"runs/{name}/"))]
    expect(f"{shown}: nothing besides", not wrong and not before - tree(top) - {b"runs/rows.csv"}, f"{wrong}")
    expect(f"{shown}: nothing left in the run", not [n for n in tree(top / "runs" / name) if n.startswith(b".")], tree(top / "runs" / name))


def written(name):
    """The data file's name: this one, where a program can hold it."""
    return name if not re.search(r"[\x00-\x08\x0b-\x1f\x7f\udc80-\udcff]", name) else "blobs.csv"


def literal(name):
    return re.sub(r'["\\]', r"\\\g<0>", written(name)).replace("\n", "\\n").replace("\t", "\\t")


def is_json(text):
    try:
        return json.loads(text.decode()) is not None
    except ValueError:
        return False


def is_xml(text):
    try:
        return xml.etree.ElementTree.fromstring(text) is not None
    except xml.etree.ElementTree.ParseError:
        return False


# ---- headers

def strings(data, at):
    return data[at:data.index(b"\0", at)].decode()


def hardened(what, path, fortified=True):
    """Position independent, all relocations before the start and then read only, no memory that is both written and run, no relocations
    in code, no search path for libraries, stack protector, checked library calls."""
    data = path.read_bytes()
    if data[:5] != b"\x7fELF\x02":
        return
    kind, = struct.unpack_from("<H", data, 16)
    phoff, = struct.unpack_from("<Q", data, 32)
    phentsize, phnum = struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<IIQQQQQQ", data, phoff + i * phentsize) for i in range(phnum)]
    loads = [(vaddr, offset, size) for t, _, offset, vaddr, _, size, _, _ in segments if t == 1]

    def file_of(address):
        return next(offset + address - vaddr for vaddr, offset, size in loads if vaddr <= address < vaddr + size)

    offset, size = next((s[2], s[5]) for s in segments if s[0] == 2)
    dynamic = [struct.unpack_from("<QQ", data, at) for at in range(offset, offset + size, 16)]
    tags = dict(reversed(dynamic))
    flags, flags_1 = tags.get(30, 0), tags.get(0x6ffffffb, 0)
    expect(f"{what}: position independent", kind == 3 and flags_1 & 0x08000000, (kind, flags_1))
    expect(f"{what}: bound before the start", flags & 8 or flags_1 & 1, (flags, flags_1))
    expect(f"{what}: relocations read only", any(s[0] == 0x6474e552 for s in segments), segments)
    expect(f"{what}: no stack that runs", [s[1] & 1 for s in segments if s[0] == 0x6474e551] == [0], segments)
    expect(f"{what}: no segment that is written and run", not [s for s in segments if s[0] == 1 and s[1] & 3 == 3], segments)
    expect(f"{what}: no relocation in code", 22 not in tags and not flags & 4, tags)
    symtab, strtab = file_of(tags[6]), file_of(tags[5])
    paths = [p for t in (15, 29) if t in tags for p in strings(data, strtab + tags[t]).split(":")]     # netc's own: where LLVM lies
    expect(f"{what}: libraries from the system alone", all(p.startswith("/") for p in paths) and (what == "netc" or not paths), paths)
    names = {strings(data, strtab + struct.unpack_from("<I", data, at)[0]) for at in range(symtab, strtab, 24)}
    expect(f"{what}: stack protector", "__stack_chk_fail" in names, names)
    expect(f"{what}: checked library calls", not fortified or [n for n in names if re.fullmatch(r"__\w+_chk", n)], names)


def try_headers():
    folder = Folder()
    hardened("netc", Path(NETC), fortified=not SANITIZED)
    for name, source in (("dense", SOURCE), ("convolution", CONVOLUTION), ("staged", STAGED)):
        for level in ("-O0", "-O3"):
            hardened(f"{name}, {level}", build(folder, source, name, level), fortified=not SANITIZED)


if not shutil.which("strace"):
    print("strace is not installed")
    sys.exit(77)
try_headers()
for a_name in NAMES[::3] if SANITIZED else NAMES:     # which are slow
    try_name(a_name)
if SANITIZED:
    print("calls are not traced: the sanitizers make some of their own")
else:
    trace_all()
sys.exit(1 if failed else 0)
