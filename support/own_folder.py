"""The user's own folder: features and steps that are kept outside of this project, and the settings for them.

`accept new` makes such a folder, and `accept run --features` names it:

    accept.toml           settings; read in place of the project's own
    features/             feature files, one folder for each capability
    features/promises.toml
    features/on-call.toml
    steps/                step files, loaded beside those of the project
    sabotages.py          sabotages, beside those of the project
"""

import os
from dataclasses import dataclass
from pathlib import Path

from support.errors import UsageError
from support.places import STARTED_IN

VARIABLE = "ACCEPT_FEATURES"
"""The environment variable that names the folder, for this process and all that it starts."""
FEATURES, STEPS, SETTINGS = "features", "steps", "accept.toml"
PROMISES, GUIDES, SABOTAGES = "promises.toml", "on-call.toml", "sabotages.py"


@dataclass(frozen=True)
class OwnFolder:
    """A folder of the user's; `directory` is absolute."""

    directory: Path

    @property
    def features(self) -> Path:
        return self.directory / FEATURES

    @property
    def promises(self) -> Path:
        """The list of the user's own promises. It need not exist."""
        return self.features / PROMISES

    @property
    def guides(self) -> Path:
        """What to do about broken promises, for the on-call engineer. It need not exist."""
        return self.features / GUIDES

    @property
    def sabotages(self) -> Path:
        """The user's own sabotages. The file need not exist."""
        return self.directory / SABOTAGES

    @property
    def settings(self) -> Path:
        """Its accept.toml. It need not exist."""
        return self.directory / SETTINGS

    @property
    def step_folders(self) -> tuple[Path, ...]:
        """The folders with its step files, those inside others included."""
        found = [one for one in (self.directory / STEPS, self.features / STEPS) if one.is_dir()]
        return tuple(
            folder
            for one in found
            for folder in (one, *sorted(path for path in one.rglob("*") if path.is_dir()))
            if folder.name != "__pycache__"
        )

    @property
    def feature_files(self) -> tuple[Path, ...]:
        return tuple(sorted(self.features.rglob("*.feature")))


def own_folder(path: Path, project: Path) -> OwnFolder:
    """The user's folder at that path, or the one whose `features` it is.

    Raises UsageError if there is no such folder, if it has no features, or if it is a part of this project.
    """
    shown, directory = path, Path(os.path.abspath(path))  # without "..": paths below it are compared with others
    if directory.name == FEATURES and not (directory / FEATURES).is_dir():
        directory = directory.parent
    if not path.exists():
        raise UsageError(f"--features {shown}: there is no such folder; ./accept new {shown} makes one")
    if not path.is_dir():
        raise UsageError(f"--features {shown}: that is a file; name the folder in which `features` and `steps` are")
    if directory.resolve() == project.resolve() or project.resolve() in directory.resolve().parents:
        raise UsageError(f"--features {shown}: that is inside this project, whose own features run without the option")
    own = OwnFolder(directory)
    if not own.features.is_dir():
        raise UsageError(
            f"--features {shown}: it has no folder `features`; ./accept new makes a folder with everything in place"
        )
    if not own.feature_files:
        raise UsageError(f"--features {shown}: there is no feature file (*.feature) in {own.features}")
    return own


def folder_of(feature: Path) -> Path:
    """The folder to which a feature file outside of this project belongs."""
    for parent in feature.absolute().parents:
        if parent.name == FEATURES:
            return parent.parent
    raise UsageError(
        f"{feature} is outside of this project, and in no folder `features`; ./accept new DIR makes a folder for "
        "features and steps of your own"
    )


def given() -> OwnFolder | None:
    """The folder that the environment of this process names; a relative path begins where the program was started."""
    path = os.environ.get(VARIABLE, "").strip()
    return OwnFolder((STARTED_IN / path).absolute()) if path else None


def give(own: OwnFolder) -> None:
    """Name the folder to this process and to all that it starts."""
    os.environ[VARIABLE] = str(own.directory)
