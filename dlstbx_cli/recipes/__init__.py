"""The recipes by name: a directory of a site's, or the ones shipped beside this module."""

from __future__ import annotations

from pathlib import Path

from dlstbx_cli.services.errors import Rejected, Unavailable

#: The recipes that come with the program: ``mimas`` and demo recipes for all it can ask for.
SHIPPED = Path(__file__).parent


class RecipeDirectory:
    """Reads recipes from ``DIRECTORY/NAME.json``, anew each time: an edit counts at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, name: str) -> str:
        """Return a recipe's text.

        :param name: checked by the caller to have no slash in it.

        Raises Rejected if there is no such recipe, Unavailable if it cannot be read.
        """
        path = self._directory / f"{name}.json"
        try:
            return path.read_text("utf-8")
        except FileNotFoundError:
            if not self._directory.is_dir():
                raise Unavailable(f"the recipe directory {self._directory} is not there") from None
            raise Rejected(f"there is no recipe {name!r} in {self._directory}") from None
        except UnicodeDecodeError:
            raise Rejected(f"the recipe {path} is not a text in UTF-8") from None
        except OSError as error:
            raise Unavailable(f"the recipe {path} cannot be read: {error.strerror}") from None
