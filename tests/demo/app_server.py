"""The web app in a process of its own, and somebody who asks it by HTTP."""

import io
import json
import os
import re
import sys
import time
import uuid

import httpx
from PIL import Image
from processes import ROOT, Tool

# The app's modules, as Python finds them when demo/app.py is started; clips.
sys.path[:0] = [os.fspath(ROOT / "demo"), os.fspath(ROOT / "tests" / "inference")]


class Server:
    """demo/app.py on a free port."""

    def __init__(self, folder, *args, **env):
        folder.mkdir(exist_ok=True)
        env |= dict(TMPDIR=folder, MMGEN_EXT_CACHE=folder / "cache", OMP_NUM_THREADS=1)
        options = ["--no-browser", "--port", 0, "--device", "cpu"]
        self.folder = folder
        self.tool = Tool("../demo/app", *options, *args, output=folder / "output.txt", **env)
        self.tool.wait_for(lambda: "Ctrl-C ends it" in self.tool.text)
        self.url = re.search(r"http://\S+:\d+", self.tool.text)[0]
        end = time.monotonic() + 60
        while True:  # It listens before it answers.
            try:
                httpx.get(self.url, timeout=60)
                break
            except httpx.TransportError:
                assert time.monotonic() < end, self.tool.text

    def kept(self):
        """Uploads and results that are there."""
        folders = self.folder.glob("mmgen_ext_app_*")
        return [path for folder in folders for path in folder.rglob("*") if path.is_file()]

    def visitor(self, **headers):
        return Visitor(self.url, headers)


class Visitor:
    """Asks as gradio's clients do."""

    def __init__(self, url, headers):
        self.http = httpx.Client(base_url=url, headers=headers, timeout=120)
        self.session = uuid.uuid4().hex

    def upload(self, name, data):
        """What gradio calls a file."""
        answer = self.http.post("/gradio_api/upload", files=[("files", (name, data))])
        assert answer.status_code == 200, answer.text
        meta = {"_type": "gradio.FileData"}
        return dict(path=answer.json()[0], orig_name=name, meta=meta)

    def functions(self):
        """Numbers of what the page can ask for, by name."""
        parts = self.http.get("/config").json()["dependencies"]
        return {part["api_name"]: part["id"] for part in parts}

    def start(self, name, *data):
        """Join the row, as the page does."""
        if not hasattr(self, "numbers"):
            self.numbers = self.functions()
        body = dict(data=list(data), fn_index=self.numbers[name], session_hash=self.session)
        answer = self.http.post("/gradio_api/queue/join", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["event_id"]

    def messages(self):
        """What is told of what was started, up to its end."""
        where = f"/gradio_api/queue/data?session_hash={self.session}"
        with self.http.stream("GET", where) as stream:
            for line in stream.iter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {}
                if message:
                    yield message
                if message.get("msg") == "close_stream":
                    return

    def call(self, name, *data):
        """The outputs, or the sentence that is shown instead."""
        self.start(name, *data)
        message = [m for m in self.messages() if m["msg"] == "process_completed"][-1]
        output = message["output"]
        return output["data"] if message["success"] else output["error"]

    def picture(self, file, model, to=None, size=0, precision="auto", suffix=".png"):
        return self.call("picture", file, model, to, size, precision, suffix)

    def fetch(self, file):
        """The bytes of a file of an answer."""
        answer = self.http.get(file.get("value", file)["url"])
        assert answer.status_code == 200
        return answer.content


def png(image):
    """RGB uint8 as a file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
