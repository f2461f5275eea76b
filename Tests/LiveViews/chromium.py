"""A headless Chromium and one page in it, over the DevTools protocol on a pipe. Python's standard library alone."""

import base64
import fcntl
import json
import os
import select
import subprocess
import tempfile
import time


class Chromium:
    """One browser with one page. What the page says, asks for and does wrong is kept."""

    def __init__(self, width=1320, height=1000, page_files=None):
        self.profile = tempfile.TemporaryDirectory(prefix="reactor-chromium-", ignore_cleanup_errors=True)
        self.complaints, self.requests, self.trace = [], [], []
        self.page_files = page_files
        self._number, self._answers, self._events, self._rest = 0, {}, [], b""
        self._traced = False
        (from_us, self._out), (self._in, to_us) = os.pipe(), os.pipe()
        def place():
            # The browser reads at descriptor 3 and writes at 4; both ends may have those very numbers now.
            high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (from_us, to_us)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        command = ["chromium", "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run", "--no-default-browser-check", "--hide-scrollbars",
                   "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
                   "--disable-dev-shm-usage", "--force-color-profile=srgb", f"--window-size={width},{height}", f"--user-data-dir={self.profile.name}", "about:blank"]
        self.process = subprocess.Popen(command, close_fds=False, preexec_fn=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(from_us)
        os.close(to_us)
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        if page_files:
            self.call("Fetch.enable", patterns=[{"urlPattern": "*/dashboard*"}])
        self.resize(width, height)

    def close(self):
        try:
            self.session = None
            self.call("Browser.close", limit=10)
        except (TimeoutError, ConnectionError, BrokenPipeError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.profile.cleanup()

    # --- The protocol ------------------------------------------------------------------------------------------------------

    def call(self, method, limit=120, **parameters):
        """Calls a method and waits for its answer."""
        number = self._post(method, **parameters)
        deadline = time.monotonic() + limit
        while number not in self._answers:
            self._read(deadline, method)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _post(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self.session and not method.startswith(("Tracing.", "Browser.")):
            message["sessionId"] = self.session
        rest = json.dumps(message).encode() + b"\0"
        while rest:
            rest = rest[os.write(self._out, rest):]
        return self._number

    def _read(self, deadline, what):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(what)
        if not select.select([self._in], [], [], left)[0]:
            raise TimeoutError(what)
        part = os.read(self._in, 1 << 20)
        if not part:
            raise ConnectionError(f"Chromium has ended; it was asked for {what}")
        *messages, self._rest = (self._rest + part).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self._take(message["method"], message.get("params", {}))

    def pump(self, seconds):
        """Takes what the browser says for so long."""
        deadline = time.monotonic() + seconds
        try:
            while True:
                self._read(deadline, "nothing")
        except TimeoutError:
            pass

    def _take(self, event, p):
        if event == "Runtime.exceptionThrown":
            details = p["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif event == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(a.get("value", a.get("description"))) for a in p["args"]))
        elif event == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{p['entry']['text']} ({p['entry'].get('url', '')})")
        elif event == "Network.requestWillBeSent":
            self.requests.append(p["request"]["url"])
        elif event == "Tracing.dataCollected":
            self.trace += p["value"]
        elif event == "Tracing.tracingComplete":
            self._traced = True
        elif event == "Fetch.requestPaused":
            self._serve(p)

    def _serve(self, p):
        """Answers for the page's own files from a folder, so that they can be tried without a build."""
        name = p["request"]["url"].rsplit("/", 1)[-1]
        if name == "dashboard.js":
            files, kind = ["dashboard.js", "table.js", "mesh.js", "charts.js", "why.js", "live.js"], "text/javascript"
        elif name == "dashboard.css":
            files, kind = ["dashboard.css"], "text/css"
        else:
            files, kind = ["dashboard.html"], "text/html"
        body = "\n".join(open(os.path.join(self.page_files, file)).read() for file in files)
        self._post("Fetch.fulfillRequest", requestId=p["requestId"], responseCode=200,
                   responseHeaders=[{"name": "content-type", "value": kind}], body=base64.b64encode(body.encode()).decode())

    # --- The page ----------------------------------------------------------------------------------------------------------

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def run(self, expression):
        """The value of an expression in the page; a promise is awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression[:120]}: {result['exceptionDetails'].get('exception', {}).get('description')}")
        return result["result"].get("value")

    def wait_for(self, expression, limit=90):
        """Waits until an expression is true, and returns its value."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            value = self.run(expression)
            if value:
                return value
            self.pump(0.05)
        raise TimeoutError(f"not within {limit} s: {expression}")

    def resize(self, width, height, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def colours(self, scheme):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def press(self, key, text=None):
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, "PageDown": 34, "End": 35, "Home": 36}
        extra = {"windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
        text = "\r" if key == "Enter" else text
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        self.call("Input.dispatchKeyEvent", key=key, code=key, **down, **extra)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, **extra)

    def click(self, x, y):
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def accessibility(self):
        """The accessibility tree as (role, name, properties), what is ignored left out."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [(n.get("role", {}).get("value"), n.get("name", {}).get("value", ""),
                 {p["name"]: p["value"].get("value") for p in n.get("properties", [])}) for n in nodes if not n.get("ignored")]

    # --- Time --------------------------------------------------------------------------------------------------------------

    def begin_trace(self):
        self.trace, self._traced = [], False
        self.call("Tracing.start", transferMode="ReportEvents", traceConfig={
            "recordMode": "recordAsMuchAsPossible", "includedCategories": ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"]})

    def end_trace(self, limit=180):
        """Ends the trace; the page's main thread's tasks as (wall, processor) in milliseconds, and what ran in the longest one."""
        self.call("Tracing.end")
        deadline = time.monotonic() + limit
        while not self._traced:
            self._read(deadline, "the trace's end")
        threads = {(e["pid"], e["tid"]) for e in self.trace if e.get("name") == "thread_name" and e["args"]["name"] == "CrRendererMain"}
        events = [e for e in self.trace if e.get("ph") == "X" and (e["pid"], e["tid"]) in threads]
        # The page's own process is the one that runs scripts.
        busy = {}
        for e in events:
            if e["name"] in ("FunctionCall", "FireAnimationFrame", "TimerFire"):
                busy[e["pid"]] = busy.get(e["pid"], 0) + 1
        page = max(busy, key=busy.get)
        tasks = [e for e in events if e["pid"] == page and e["name"] in ("RunTask", "ThreadControllerImpl::RunTask")]
        longest = max(tasks, key=lambda e: e.get("tdur", 0))
        within = sorted(((e.get("tdur", e["dur"]) / 1000, e["name"]) for e in events
                         if e["pid"] == page and longest["ts"] <= e["ts"] < longest["ts"] + longest["dur"] and e is not longest), reverse=True)
        return [(e["dur"] / 1000, e.get("tdur", e["dur"]) / 1000) for e in tasks], within[:8]
