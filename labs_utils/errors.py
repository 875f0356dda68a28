"""The one exception that the workbook's own helpers raise for something the reader can mend."""


class WorkbookError(RuntimeError):
    """A sentence for the reader: what was given, what was expected, what to do."""
