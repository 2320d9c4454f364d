"""A PostgreSQL and a Tiled server on it as docs/how-to/tiled-server.md sets them up, in a folder of a test's own."""

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "tiled-server.md"
USER = "microarpes"
#: What a follower may do, and what a reader may.
WRITER = ("read:metadata", "read:data", "write:metadata", "write:data", "create:node", "register", "delete:node",
          "delete:revision")  # fmt: skip
READER = ("read:metadata", "read:data")


def programs():
    """Return the folder with initdb and postgres, as Debian's packages put them; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(happened, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(0.05)


def as_whom():
    """PostgreSQL does not run as root: what a process of it is started with."""
    if os.geteuid() != 0:
        return {}
    with contextlib.suppress(KeyError):
        user = pwd.getpwnam("postgres")
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def postgres():
    """Yield the address of a fresh cluster and the environment that holds its password; it is gone afterwards."""
    where, whom, password, port = programs(), as_whom(), secrets.token_hex(8), free_port()
    if where is None:
        raise FileNotFoundError("there is no initdb; install Debian's package postgresql")
    # Not below pytest's folders, which no other user may enter.
    folder = Path(tempfile.mkdtemp(prefix="microarpes-postgres-"))
    try:
        (folder / "password").write_text(password)
        if whom:
            for path in (folder, folder / "password"):
                os.chown(path, whom["user"], whom["group"])
        quiet = {"stdout": subprocess.DEVNULL, "cwd": folder, **whom}
        initdb = [where / "initdb", "-D", folder / "data", "-U", USER, "--auth=scram-sha-256", "--encoding=UTF8",
                  f"--pwfile={folder / 'password'}", "--no-sync", "--locale=C"]  # fmt: skip
        subprocess.run(initdb, check=True, **quiet)
        server = [where / "postgres", "-D", folder / "data", "-k", folder, "-p", str(port),
                  "-c", "listen_addresses=127.0.0.1"]  # fmt: skip
        process = subprocess.Popen(server, stderr=subprocess.DEVNULL, **quiet)
        try:
            address = ["-h", "127.0.0.1", "-p", str(port), "-U", USER]
            ready = [where / "pg_isready", "-q", *address]
            wait_for(lambda: subprocess.run(ready).returncode == 0, "an answer of PostgreSQL")
            # As an administrator keeps it: libpq and asyncpg read it there, and no command line or address holds it.
            passwords = folder / "pgpass"
            passwords.touch(mode=0o600)
            passwords.write_text(f"127.0.0.1:{port}:*:{USER}:{password}\n")
            environment = {"PGUSER": USER, "PGPASSFILE": str(passwords)}
            for database in ("tiled_catalog", "tiled_keys"):
                subprocess.run([where / "createdb", *address, database], check=True, env={**os.environ, **environment})
            yield f"postgresql://127.0.0.1:{port}", environment
        finally:
            process.send_signal(signal.SIGQUIT)  # nothing of it is kept
            process.wait(60)
    finally:
        shutil.rmtree(folder)


def configuration():
    """Return the server's configuration as the how-to has it."""
    return re.search(r"```yaml\n(.*?)```", HOW_TO.read_text(), re.DOTALL).group(1)


class TiledServer:
    """The real ``tiled serve config``; it can be killed, frozen and started again at the same address."""

    def __init__(self, database, environment, folder, runs):
        self.folder, self.port = Path(folder), free_port()
        (self.folder / "data").mkdir(parents=True)
        (self.folder / "tiled.yml").write_text(configuration())
        self.uri = f"http://127.0.0.1:{self.port}/api/v1"
        self.password = secrets.token_hex(8)
        self.environment = {
            **os.environ, **environment, "CATALOG_DATABASE": database, "CATALOG_RUNS": str(runs),
            "CATALOG_DATA": str(self.folder / "data"),
            "CATALOG_PASSWORD": self.password, "CATALOG_SECRET": secrets.token_hex(32),
        }  # fmt: skip
        self.process = None
        commands = (
            ["admin", "initialize-database", f"{database}/tiled_keys"],
            ["catalog", "init", f"{database}/tiled_catalog"],
        )
        quiet = {"env": self.environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        made = [subprocess.Popen([sys.executable, "-m", "tiled", *command], **quiet) for command in commands]
        if any(process.wait(120) for process in made):
            raise ChildProcessError("the databases could not be initialised")

    def start(self):
        command = [sys.executable, "-m", "tiled", "serve", "config", self.folder / "tiled.yml", "--host", "127.0.0.1",
                   "--port", str(self.port)]  # fmt: skip
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        wait_for(self.answers, "an answer of the Tiled server")

    def answers(self):
        if self.process.poll() is not None:
            raise ChildProcessError((self.folder / "server.log").read_text()[-3000:])
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.uri}/", timeout=5.0).status_code == 200
        return False

    def new_key(self, *scopes):
        """Return a new API key, made as the how-to makes it."""
        login = {"username": "operator", "password": self.password}
        tokens = httpx.post(f"{self.uri}/auth/provider/beamline/token", data=login).raise_for_status().json()
        made = httpx.post(f"{self.uri}/auth/apikey", headers={"Authorization": f"Bearer {tokens['access_token']}"},
                          json={"scopes": list(scopes), "expires_in": None, "note": "microarpes"})  # fmt: skip
        return made.raise_for_status().json()["secret"]

    def kill(self):
        self.process.kill()
        self.process.wait(60)
