"""The chapters there are. A new chapter adds one line; everything else is derived from it."""

from labs_utils.errors import WorkbookError

# number -> (file stem, title)
CHAPTERS = {
    "00": ("00_start_here", "Start here"),
    "01": ("01_architectures", "Architectures and attention"),
    "02": ("02_pipeline_tasks", "Pipelines, task by task"),
    "03": ("03_pipeline_internals", "Inside a pipeline"),
    "04": ("04_tokenizers", "Tokenizers"),
    "05": ("05_models_and_configs", "Models and configs"),
    "06": ("06_inside_bert", "BERT from the inside"),
    "07": ("07_model_heads", "Heads"),
    "08": ("08_pytorch_essentials", "PyTorch essentials"),
    "09": ("09_manual_training_loop", "The training loop by hand"),
    "10": ("10_trainer", "Trainer"),
    "11": ("11_datasets", "Datasets"),
    "13": ("13_hub_sharing", "Sharing on a Hub"),
}


def chapter(number: str) -> tuple[str, str]:
    """Return (file stem, title) of a chapter.

    Raises:
        WorkbookError: there is no such chapter; the message lists those there are.

    >>> chapter("04")
    ('04_tokenizers', 'Tokenizers')
    """
    if number in CHAPTERS:
        return CHAPTERS[number]
    known = ", ".join(f"{key} {title}" for key, (_, title) in CHAPTERS.items())
    raise WorkbookError(f"There is no chapter {number!r}. Give one of these numbers as text: {known}.")
