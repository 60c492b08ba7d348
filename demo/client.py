"""A real ComfyUI server, started and spoken to from Python: queue a prompt, follow it, take its files.

Run as a program (`python -m demo.client --port 8188`) it starts ComfyUI with its page, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import aiohttp

from .workflow import Prompt

HERE = Path(__file__).resolve().parent.parent
START_SECONDS = 240  # imports from a cold disk on a slow machine
STOP_SECONDS = 10
TEXT_MESSAGE = 3  # of the WebSocket: a text for a node

Progress = Callable[[str, int, int], None]  # called with a node's class, the step reached and all its steps


class ServerError(Exception):
    """The server did not start, or went away; carries the end of its log."""


class PromptError(Exception):
    """ComfyUI refused a prompt, or a node failed: the whole of what it said."""


class Interrupted(Exception):
    """The run was interrupted, as asked."""


@dataclass(frozen=True)
class Output:
    """One file that a run wrote."""

    node: str  # id of the node that wrote it
    kind: str  # "images", "latents", ...
    file: dict[str, str]  # filename, subfolder, type


def comfyui_root() -> Path:
    """The ComfyUI to run: the one that dev.py chose, else the one that it has set up."""
    root = Path(os.environ.get("RAG_COMFYUI_ROOT", HERE / ".comfyui"))
    if not (root / "main.py").is_file():
        raise ServerError(f"there is no ComfyUI in {root}: run python3 dev.py setup")
    return root


def device_arguments() -> list[str]:
    """ComfyUI's options for this machine: none with an accelerator, else those for its processor."""
    code = (
        "import sys, torch; xpu = hasattr(torch, 'xpu') and torch.xpu.is_available();"
        "sys.exit(not (torch.cuda.is_available() or torch.backends.mps.is_available() or xpu))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
    return [] if found else ["--cpu", "--use-pytorch-cross-attention"]


def environment(arguments: Sequence[str]) -> dict[str, str]:
    """On a processor the demo's small matrices gain nothing from threads, which only get in their way."""
    return {"OMP_NUM_THREADS": "1", **os.environ} if "--cpu" in arguments else dict(os.environ)


def pack_folder(root: Path) -> str:
    """The name under which custom_nodes/ holds this checkout."""
    for entry in (root / "custom_nodes").iterdir():
        if entry.resolve() == HERE:
            return entry.name
    raise ServerError(f"{root / 'custom_nodes'} does not hold this pack: run python3 dev.py setup")


class Server:
    """A ComfyUI with this pack alone, on a free local port, its files in a folder of its own.

    A context manager: entered once it answers, ended by process id at the end.
    """

    def __init__(self, root: Path, extra: Sequence[str] = ()) -> None:
        self.root, self.extra = root, list(extra)
        self.told: dict[str, str] = {}  # what the last run showed at nodes, by their ids

    def __enter__(self) -> Server:
        self._folder = tempfile.TemporaryDirectory(prefix="rag_comfyui_", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.port = _free_port()
        if threading.current_thread() is threading.main_thread():
            signal.signal(
                signal.SIGTERM, lambda *_: sys.exit(143)
            )  # so that a plain kill ends the server too
        arguments = [*self._arguments(), *device_arguments(), *self.extra]
        with (self.folder / "server.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "main.py", *arguments],
                cwd=self.root,
                env=environment(arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_ready()
            self._check_pack()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()

    def _arguments(self) -> list[str]:
        arguments = ["--listen", "127.0.0.1", "--port", str(self.port), "--disable-auto-launch"]
        for name in ("output", "input", "temp", "user"):
            (self.folder / name).mkdir()
            arguments += [f"--{name}-directory", str(self.folder / name)]
        arguments += ["--database-url", "sqlite:///:memory:", "--disable-api-nodes"]
        return [*arguments, "--disable-all-custom-nodes", "--whitelist-custom-nodes", pack_folder(self.root)]

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise ServerError(f"ComfyUI ended with {self.process.returncode}; its log:\n{self.log()}")
            with contextlib.suppress(OSError):
                self.get("/system_stats")
                return
            time.sleep(0.2)
        raise ServerError(f"ComfyUI did not answer within {START_SECONDS} s; its log:\n{self.log()}")

    def _check_pack(self) -> None:
        """ComfyUI starts without a pack that fails to import, and says so only in its log."""
        module = f"custom_nodes.{pack_folder(self.root)}"
        if not any(spec["python_module"] == module for spec in self.object_info.values()):
            raise ServerError(f"ComfyUI started without this pack's nodes; its log:\n{self.log()}")

    def log(self, lines: int = 60) -> str:
        """The last lines of the server's log."""
        text = (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    # --- HTTP ---

    def get(self, path: str) -> bytes:
        with _direct.open(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return answer.read()

    def post(self, path: str, body: Any) -> bytes:
        headers = {"Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with _direct.open(request, timeout=60) as answer:
            return answer.read()

    @cached_property
    def object_info(self) -> dict[str, Any]:
        return json.loads(self.get("/object_info"))

    def fetch(self, output: Output) -> bytes:
        """The contents of a file that a run wrote."""
        return self.get("/view?" + urllib.parse.urlencode(output.file))

    def interrupt(self) -> None:
        self.post("/interrupt", {})

    # --- running a prompt ---

    def run(self, prompt: Prompt, progress: Progress = lambda *_: None) -> list[Output]:
        """Queue a prompt, follow it to its end, and return the files that it wrote (or had written: those
        of nodes that ComfyUI kept from an earlier run too).

        Raises PromptError if ComfyUI refuses it or a node fails, Interrupted if it was interrupted.
        """
        prompt_id = asyncio.run(self._follow(prompt, progress))
        history = json.loads(self.get(f"/history/{prompt_id}"))[prompt_id]
        return [
            Output(node, kind, file)
            for node, kinds in history["outputs"].items()
            for kind, files in kinds.items()
            for file in files
            if isinstance(file, dict) and "filename" in file
        ]

    async def _follow(self, prompt: Prompt, progress: Progress) -> str:
        """Queue over HTTP, listen on the WebSocket (opened first, so that no event is missed)."""
        client, self.told = uuid.uuid4().hex, {}
        url = f"ws://127.0.0.1:{self.port}/ws?clientId={client}"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as events:
            prompt_id = self._queue(prompt, client)
            async for message in events:
                if message.type is aiohttp.WSMsgType.BINARY:
                    self._read_text(message.data)
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                event = json.loads(message.data)
                data = event.get("data") or {}
                if data.get("prompt_id") != prompt_id:
                    continue
                if event["type"] == "executing" and data["node"] is None:
                    return prompt_id  # not at execution_success: the outputs are not in the history by then
                if event["type"] == "execution_error":
                    raise PromptError(_execution_error(data))
                if event["type"] == "execution_interrupted":
                    raise Interrupted(f"interrupted in {data.get('node_type')}")
                if event["type"] == "executing" and data["node"] in prompt:
                    progress(prompt[data["node"]]["class_type"], 0, 0)
                if event["type"] == "progress" and data.get("node") in prompt:
                    progress(prompt[data["node"]]["class_type"], data["value"], data["max"])
        raise ServerError(f"ComfyUI closed the connection during a run; its log:\n{self.log()}")

    def _read_text(self, data: bytes) -> None:
        """Keep a node's text; other binary messages are previews."""
        kind, length = struct.unpack_from(">II", data)
        if kind == TEXT_MESSAGE:
            self.told[data[8 : 8 + length].decode()] = data[8 + length :].decode()

    def _queue(self, prompt: Prompt, client: str) -> str:
        try:
            answer = json.loads(self.post("/prompt", {"prompt": prompt, "client_id": client}))
        except urllib.error.HTTPError as error:
            raise PromptError(_refusal(error.read().decode(errors="replace"), prompt)) from None
        if answer.get("node_errors"):  # some outputs are fine, and would run without the others
            self.post("/queue", {"delete": [answer["prompt_id"]]})
            self.post("/interrupt", {"prompt_id": answer["prompt_id"]})
            raise PromptError(_refusal(json.dumps(answer), prompt))
        return answer["prompt_id"]


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # 127.0.0.1 is never behind a proxy


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _execution_error(data: dict[str, Any]) -> str:
    trace = "".join(data.get("traceback") or [])
    node = f"{data.get('node_type')} (node {data.get('node_id')})"
    return f"{node}: {data.get('exception_type')}: {data.get('exception_message', '').strip()}\n{trace}"


def _refusal(body: str, prompt: Prompt) -> str:
    """ComfyUI's answer to a prompt that it does not accept: one line for every error it found."""
    try:
        answer = json.loads(body)
    except ValueError:
        return body
    error = answer.get("error") or {}
    lines = [f"{error.get('message', error)} {error.get('details', '')}".strip()] if error else []
    for node, found in (answer.get("node_errors") or {}).items():
        name = found.get("class_type") or prompt.get(node, {}).get("class_type")
        for entry in found["errors"]:
            lines.append(f"{name} (node {node}): {entry['message']}: {entry['details']}")
    return "\n".join(lines) or body


class ProgressLine:
    """One line of the terminal that says how far a run is; where there is no terminal, only its end."""

    def __init__(self, title: str) -> None:
        self.title, self.began = title, time.monotonic()
        self._live = sys.stdout.isatty()

    def __call__(self, node: str, step: int, steps: int) -> None:
        if self._live:
            bar = f" [{'#' * (20 * step // steps):<20}] {step}/{steps}" if steps else ""
            print(f"\r{self.title}: {node}{bar}"[:100].ljust(100), end="", flush=True)

    def done(self, text: str = "") -> None:
        """End the line with the seconds that it took, and the text."""
        line = f"{self.title}: {time.monotonic() - self.began:.1f} s{text and '  ' + text}"
        print(("\r" if self._live else "") + line.ljust(100 if self._live else 0), flush=True)


def serve(port: int) -> None:
    """ComfyUI itself, with its own folders and all its custom nodes, in the foreground."""
    arguments = ["--listen", "127.0.0.1", "--port", str(port), *device_arguments()]
    print(f"starting ComfyUI at http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    command = [sys.executable, "main.py", *arguments]
    os.chdir(comfyui_root())
    if os.name != "nt":
        os.execve(command[0], command, environment(arguments))
    process = subprocess.Popen(command, env=environment(arguments))
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C reaches the child too, which ends by itself
            sys.exit(process.wait())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Start ComfyUI with its page.")
    parser.add_argument("--port", type=int, default=8188)
    serve(parser.parse_args().port)
