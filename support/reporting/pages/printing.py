"""A page of the report as PDF, by a Chromium that is installed; the page's own style for print makes it two pages."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from support.errors import NotAvailable, ProcessFailed

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
"""Programs that have Chromium's options; the first that is found counts."""
_PRINTED_WITHIN = 90.0  # seconds; it takes two on a machine that has nothing else to do
_BY_HAND = "open the page in a browser of your own, and print it there"


def browser() -> str:
    """The browser to print with. Raises NotAvailable if there is none."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        known = ", ".join(BROWSERS)
        raise NotAvailable(f"no browser is installed ({known}): install chromium, or print the page from your own")
    return found


def print_page(page: Path, pdf: Path) -> Path:
    """Print a page that lies on this disk; returns the PDF. Raises NotAvailable without a browser, ProcessFailed if it
    printed nothing."""
    with tempfile.TemporaryDirectory(prefix="accept-browser-") as profile:
        command = [browser(), "--headless", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer"]
        command += [f"--user-data-dir={profile}", f"--print-to-pdf={pdf.absolute()}", page.absolute().as_uri()]
        if os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium refuses to run as root with it
        pdf.unlink(missing_ok=True)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PRINTED_WITHIN, check=False)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"{command[0]} did not print {page} within {_PRINTED_WITHIN:g} s; {_BY_HAND}") from None
        except OSError as error:
            raise ProcessFailed(f"{command[0]} cannot be started: {error.strerror}; {_BY_HAND}") from error
    if not pdf.exists():
        said = " ".join(done.stderr.split()[-40:])
        raise ProcessFailed(f"{command[0]} printed nothing: {said or f'exit status {done.returncode}'}; {_BY_HAND}")
    return pdf
