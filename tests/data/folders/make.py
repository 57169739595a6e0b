#!/usr/bin/env python3
"""Makes the data folders of a release for tests/it/folders.rs: see README.md. Usage: make.py PROGRAM FOLDER"""
import base64, http.server, json, os, shutil, signal, socket, sqlite3, struct, subprocess, sys, tempfile, threading, time, urllib.error, urllib.request

program, out = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])


class Sink(http.server.BaseHTTPRequestHandler):
    count, lock = 0, threading.Lock()

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with Sink.lock:
            Sink.count += 1
            number = Sink.count
        status, answer = 200, {}
        if self.path.startswith("/slack/"):
            answer = {"ok": True, "channel": "C1", "ts": f"1.{number:06}"}
        elif self.path == "/pagerduty":
            status, answer = 202, {"status": "success", "dedup_key": "k"}
        elif self.path == "/refused":
            status, answer = 404, {"error": "no_team"}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
threading.Thread(target=sink.serve_forever, daemon=True).start()
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
work = tempfile.mkdtemp()
with open(f"{out}/watchfire.yml") as file:
    config = file.read().replace(":19000", f":{sink.server_port}")
with open(f"{work}/watchfire.yml", "w") as file:
    file.write(config)
shutil.copy(f"{out}/rules.yml", work)


def call(method, path, body=None, raw=None, headers=None):
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    headers = headers or {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()}")
    return json.loads(text) if text[:1] in (b"{", b"[") else text


def start():
    log = open(f"{work}/watchfire.log", "a")
    arguments = [program, "serve", "--config.file", "watchfire.yml", "--web.listen-address", f"127.0.0.1:{port}"]
    process = subprocess.Popen(arguments, cwd=work, stdout=log, stderr=log)
    while True:
        try:
            if call("GET", "/-/ready") is not None:
                return process
        except (OSError, SystemExit):
            if process.poll() is not None:
                raise SystemExit(open(f"{work}/watchfire.log").read())
            time.sleep(0.05)


def alert(name, service, severity="critical", team=None, **more):
    labels = {"alertname": name, "service": service, "cluster": "eu", "severity": severity, **more}
    if team:
        labels["team"] = team
    return {"labels": labels, "annotations": {"summary": f"{name} at {service}"}, "generatorURL": "http://prometheus:9090/graph"}


def webhook(*alerts, status="firing"):
    alerts = [{**a, "status": status, "fingerprint": ""} for a in alerts]
    body = {"version": "4", "groupKey": "{}", "status": status, "receiver": "watchfire", "groupLabels": {},
            "commonLabels": {}, "commonAnnotations": {}, "externalURL": "", "alerts": alerts}
    call("POST", "/api/v1/alertmanager", body)


def post(*alerts):
    call("POST", "/api/v2/alerts", [{**a, "endsAt": "2099-01-01T00:00:00Z"} for a in alerts])


def incidents():
    return call("GET", "/api/v1/incidents?limit=1000")["data"]["incidents"]


def of(service, status=None):
    def look():
        for incident in incidents():
            if incident["labels"].get("service") == service and status in (None, incident["status"]):
                return incident["id"]
    return wait(f"an incident of {service}", look)


def wait(what, look):
    for _ in range(600):
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit(f"never: {what}\n{json.dumps(incidents(), indent=1)}")


def command(incident, verb, **body):
    return call("POST", f"/api/v1/incidents/{incident}/{verb}", {"by": "ana", **body})["data"]["incident"]


def whole(incident):
    return call("GET", f"/api/v1/incidents/{incident}")["data"]["incident"]


def fingerprint(incident, name):
    return next(a["fingerprint"] for a in whole(incident)["alerts"] if a["labels"]["alertname"] == name)


def varint(n):
    out = b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def samples(value):
    labels = b"".join(field(1, field(1, k) + field(2, v)) for k, v in [(b"__name__", b"temperature"), (b"room", b"1")])
    sample = b"\x09" + struct.pack("<d", value) + b"\x10" + varint(int(time.time() * 1000))
    message = field(1, labels + field(2, sample))
    # Snappy with one literal: a length, a tag, the bytes.
    body = varint(len(message)) + bytes([60 << 2, len(message) - 1]) + message
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"}
    call("POST", "/api/v1/write", raw=body, headers=headers)


def silence(matcher, starts, ends):
    at = lambda s: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(s))
    name, value = matcher
    body = {"matchers": [{"name": name, "value": value, "isRegex": False, "isEqual": True}], "startsAt": at(starts),
            "endsAt": at(ends), "createdBy": "ana", "comment": f"{name} {value}"}
    return call("POST", "/api/v2/silences", body)["silenceID"]


def first_life():
    now, year = time.time(), 365 * 86400
    samples(35)
    silence(("service", "hushed"), now, now + 60 * year)
    silence(("service", "later"), now + 50 * year, now + 60 * year)
    expired = silence(("service", "gone"), now, now + year)
    call("DELETE", f"/api/v2/silence/{expired}")
    webhook(alert("Hushed", "hushed"))
    webhook(alert("SiteDown", "climbs", team="climb"), alert("Slow", "climbs", "warning", team="climb"))
    post(alert("DiskFull", "acked"), alert("DiskFull", "snoozed"))
    command(of("acked"), "acknowledge", note="on it")
    command(of("snoozed"), "snooze", duration="720h")
    webhook(alert("Lag", "both"))
    command(of("both"), "acknowledge")
    command(of("both"), "snooze", duration="720h")
    webhook(alert("Blip", "ended", team="spare"))
    of("ended")
    webhook(alert("Blip", "ended", team="spare"), status="resolved")
    of("ended", "resolved")
    webhook(alert("Stuck", "by-hand"), alert("Stuck2", "by-hand"))
    command(of("by-hand"), "resolve", note="known")
    webhook(alert("Twin", "merged-from", team="spare"))
    webhook(alert("Twin", "merged-into", team="spare"))
    command(of("merged-into"), "merge", **{"from": [of("merged-from")]})
    webhook(*(alert(name, "split", team="spare") for name in ("Stays", "Leaves", "Stays2")))
    command(of("split"), "split", alerts=[fingerprint(of("split"), "Leaves")])
    webhook(alert("Kept", "detached", team="spare"), alert("Apart", "detached", team="spare"))
    command(of("detached"), "detach", alert=fingerprint(of("detached"), "Apart"))
    webhook(alert("Given", "reassigned", team="spare"))
    command(of("reassigned"), "reassign", user="bob")
    webhook(alert("Quick", "exhausted", team="short"))
    webhook(alert("Unheard", "dead", team="dead"), alert("Unheard", "refused", team="refused"), alert("Post", "mail", team="mail"))
    webhook(alert("Back", "unacked"))
    command(of("unacked"), "acknowledge")
    command(of("unacked"), "unacknowledge")
    webhook(alert("Warn", "raised", "warning", team="spare"))
    command(of("raised"), "note", note="looks odd")
    webhook(alert("Crit", "raised", team="spare"))
    webhook(alert("Flap", "reopened", team="spare"))
    of("reopened")
    webhook(alert("Flap", "reopened", team="spare"), status="resolved")
    of("reopened", "resolved")
    webhook(alert("Flap", "reopened", team="spare"))
    of("reopened", "triggered")
    of("boiler")
    wait("exhausted", lambda: whole(of("exhausted"))["escalation"]["exhausted"])
    wait("the second step", lambda: whole(of("climbs"))["escalation"]["step"] == 2)
    wait("refused for good", lambda: any(e["kind"] == "page_failed" for e in whole(of("refused"))["timeline"]))
    time.sleep(3)  # Announcements and receipts settle.
    # Last, for they are held back for a minute at most.
    for n in range(12):
        webhook(alert("Storm", f"narrow-{n}", team="narrow"))
    wait("held pages", lambda: any(whole(of(f"narrow-{n}"))["timeline"][-1]["kind"] == "not_paged" for n in range(12)))
    time.sleep(1)
    samples(35)


def short_life():
    """Ends by kill -9, so nearly all of it is in SQLite's journal and in the newest segment of samples."""
    samples(25)
    webhook(alert("Late", "answered", team="dead"), alert("Unheard", "dead", team="dead"), alert("Late", "climbs", team="climb"))
    command(of("answered"), "acknowledge", by="bob")
    silence(("service", "hushed"), time.time(), time.time() + 60 * 365 * 86400)
    wait("the second step", lambda: whole(of("climbs"))["escalation"]["step"] == 2)
    wait("both were told", lambda: [e["kind"] for e in whole(of("climbs"))["timeline"]].count("page_sent") == 2)


def keep(name):
    target = f"{out}/{name}"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(f"{work}/data", target, ignore=shutil.ignore_patterns("*.lock", "*-shm"))
    print(name, sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(target) for f in fs), "bytes")


watchfire = start()
try:
    first_life()
    watchfire.send_signal(signal.SIGTERM)
    watchfire.wait(60)
    keep("stopped")
    shutil.rmtree(f"{work}/data")
    watchfire = start()  # The schema into the file, so that the journal holds nothing but what came after.
    watchfire.send_signal(signal.SIGTERM)
    watchfire.wait(60)
    watchfire = start()
    short_life()
    watchfire.kill()
    watchfire.wait()
    keep("killed")
finally:
    watchfire.kill()
    shutil.rmtree(work)
with sqlite3.connect(f"{out}/stopped/watchfire.db") as database:
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute("VACUUM")


def fp(number):
    return f"{number & 0xFFFFFFFFFFFFFFFF:016x}"


def written_down(database):
    """What the folder holds, line by line, as SQL tells it: the test compares it with what the program reads."""
    kinds = {}
    for (body,) in database.execute("SELECT body FROM notification"):
        body = json.loads(body)
        kinds.setdefault(body["receiver"], {})[body["integration"]] = body["integration_kind"]
    # An integration is known by its kind and its number within the kind.
    name = lambda receiver, i: f"{kinds[receiver][i]}/{sum(kinds[receiver].get(n) == kinds[receiver][i] for n in range(i))}"
    for id, status, severity, body in database.execute("SELECT id, status, severity, body FROM incident ORDER BY id"):
        body = json.loads(body)
        escalation = body["escalation"]
        words = [f"step={escalation['step']} round={escalation['round']} run={escalation['run']} next_at={escalation['next_at'] or '-'}"]
        words += [f"{field}={body[field]}" for field in ("acknowledged_by", "resolved_by", "snoozed_until") if body[field]]
        words += ["exhausted"] if escalation["exhausted"] else []
        words += [f"held={','.join(escalation['held'])}"] if escalation["held"] else []
        words += [f"heard={','.join(f'{receiver}:{name(receiver, i)}' for receiver, i in escalation['heard'])}"] if escalation["heard"] else []
        words += [f"assigned_to={kind}:{who}" for kind, who in (escalation["assigned_to"] or {}).items()]
        words += [f"merged_into=INC-{body['merged_into']}"] if body["merged_into"] else []
        yield f"INC-{id} {status} {severity} {body['title']!r} policy={escalation['policy']} {' '.join(words)}".replace("'", '"')
        rows = database.execute("SELECT fingerprint, detached, left_at IS NOT NULL, reason FROM member WHERE incident = ? ORDER BY attached_at, printf('%016x', fingerprint)", (id,))
        for alert, detached, left, reason in rows:
            yield f"  {fp(alert)}{' detached' if detached else ''}{' left' if left else ''}: {reason}"
        for kind, text, actor, reason in database.execute("SELECT kind, text, actor, reason FROM timeline WHERE incident = ? ORDER BY seq", (id,)):
            yield f"  {kind} | {text} | {actor or ''} | {reason}"
    for group_key, receiver, integration, body in database.execute("SELECT * FROM nflog ORDER BY group_key, receiver, integration"):
        body = json.loads(body)
        told = [f"{state}={','.join(fp(n) for (n,) in struct.iter_unpack('<Q', base64.b64decode(body[state])))}" for state in ("firing", "resolved")]
        yield f"log {group_key} {receiver} {name(receiver, integration)} {' '.join(told)} at={body['at']}"
    for key, created_at, attempts in database.execute("SELECT key, created_at, attempts FROM notification WHERE state = 'pending' ORDER BY key"):
        yield f"pending {key} created_at={created_at} attempts={attempts}"
    for id, body in database.execute("SELECT id, body FROM silence ORDER BY body"):
        body = json.loads(body)
        yield f"silence {id} {body['matchers'][0][2]} {body['starts_at']} {body['ends_at']}"
    for rule, alert, body in database.execute("SELECT rule, fingerprint, body FROM rule_alert ORDER BY rule, fingerprint"):
        body = json.loads(body)
        yield f"rule {rule} {fp(alert)} {body['state']} active_at={body['active_at']}"


for name in ("stopped", "killed"):
    # In a copy: reading a journal folds it in.
    copy = tempfile.mkdtemp()
    shutil.copytree(f"{out}/{name}", copy, dirs_exist_ok=True)
    with sqlite3.connect(f"{copy}/watchfire.db") as database, open(f"{out}/{name}.txt", "w") as file:
        file.writelines(line + "\n" for line in written_down(database))
    shutil.rmtree(copy)
