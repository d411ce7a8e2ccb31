"""`nicobar emulator`."""

from __future__ import annotations

import asyncio
import signal
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import click

from nicobar.cli.options import PORT, Integer, OneOf, run_loop
from nicobar.emulator.app import create_app
from nicobar.emulator.certificate import write_certificate
from nicobar.emulator.contract import Mode
from nicobar.emulator.recipe_campaigns import NAMES
from nicobar.emulator.setup import Setup, read_setup
from nicobar.emulator.state import State
from nicobar.errors import UserError
from nicobar.web.serving import Server


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8081, show_default=True, type=PORT, help="Port to listen on; 0 picks a free port.")
@click.option("--site-id", default="demo-site", show_default=True, help="Site ID that requests must use.")
@click.option("--api-key", default="demo-key", show_default=True, help="API key that requests must use.")
@click.option("--app-api-key", default="demo-app-key", show_default=True, help="Key of the App API.")
@click.option("--region", default="us", show_default=True, type=OneOf(["us", "eu"]), help="Region to emulate.")
@click.option(
    "--mode",
    default="strict",
    show_default=True,
    type=OneOf([mode.value for mode in Mode]),
    help="Check requests by the specification (strict), or as the live API reportedly does (observed).",
)
@click.option(
    "--settle-ms",
    default=0,
    show_default=True,
    type=Integer(0, 60_000),
    help="Delay before accepted calls take effect, in milliseconds. Maximum 60,000.",
)
@click.option(
    "--campaigns",
    metavar="RECIPE|FILE",
    help=f"Campaigns to start with: those of a recipe ({', '.join(NAMES)}), or a JSON or TOML file, which may also "
    "contain segments and the settings of the workspace.",
)
@click.option("--nicobar-url", default="", help="URL of Nicobar's dashboard. The page then links to its messages.")
@click.option("--https-port", type=PORT, help="Also serve HTTPS, on this port; 0 picks a free port.")
@click.option(
    "--certificate",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("emulator.pem"),
    show_default=True,
    help="PEM file with the certificate and key for HTTPS. Created if missing.",
)
def emulator(
    *,
    host: str,
    port: int,
    site_id: str,
    api_key: str,
    app_api_key: str,
    region: str,
    mode: str,
    settle_ms: int,
    campaigns: str | None,
    nicobar_url: str,
    https_port: int | None,
    certificate: Path,
) -> None:
    """Run an emulator of Customer.io on this machine. It serves the Track API, the part of the App API that reads,
    and a page that shows its data.
    """
    state = State(site_id=site_id, api_key=api_key, app_key=app_api_key)
    state.settle_ms = settle_ms
    setup = read_setup(campaigns) if campaigns else Setup()
    state.put_workspace(setup.workspace)
    app = create_app(
        state, region=region, host=host, campaigns=setup.campaigns, mode=Mode(mode), nicobar_url=_checked(nicobar_url)
    )
    app.put_segments(setup.segments)

    if https_port is not None:
        _check_certificate(certificate)

    async def run() -> None:
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        servers = [await Server.start(app, host, port)]
        try:
            if https_port is not None:
                servers.append(await Server.start(app, host, https_port, certificate=certificate))
                click.echo(f"HTTPS: {servers[-1].url}  (certificate {certificate})")
            keys = f"Site ID {site_id}, API key {api_key}, App API key {app_api_key}"
            click.echo(f"Customer.io emulator: {servers[0].url}  ({keys})")
            await ended.wait()
        finally:
            for server in servers:
                await server.stop()

    run_loop(run())


def _checked(url: str) -> str:
    """Raises UserError for a URL that the page could not link to."""
    if url and urlsplit(url).scheme not in {"http", "https"}:
        raise UserError(
            "url_invalid", f'"{url}" is not a URL.', "Set --nicobar-url to a URL such as http://127.0.0.1:8080."
        )
    return url


def _check_certificate(path: Path) -> None:
    """Creates a missing file. Raises UserError if it cannot be created or used."""
    try:
        if not path.exists():
            write_certificate(path)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
    except ssl.SSLError as error:
        raise UserError(
            "certificate_invalid",
            f"{path} is not a PEM file with a certificate and its key.",
            "Choose another file with --certificate. A missing file is created.",
        ) from error
    except OSError as error:
        raise UserError(
            "certificate_unusable",
            f"Cannot create or read the certificate {path}: {error.strerror}.",
            "Choose another file with --certificate.",
        ) from error
