"""Pages that show figures: those of the last run stand between two marks."""
import pathlib


def put(page, text, begin, end=None):
    """The page with this text there."""
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end or begin)
    if not found or not closed:
        raise ValueError(f"no lines that mark the last run: {begin} {end or begin}")
    return f"{head}{found}\n\n{text.strip()}\n\n{closed}{tail}"


def put_into(file, text, begin, end=None):
    file.write_text(put(file.read_text(encoding="utf-8"), text, begin, end), encoding="utf-8")


def add_into(arguments):
    arguments.add_argument("--into", type=pathlib.Path, metavar="FILE", help="put it there, between the lines that mark the last run")


def show(options, text, mark):
    """For who reads it now, and for the page that was named."""
    print(text)
    if options.into:
        put_into(options.into, text, mark)
