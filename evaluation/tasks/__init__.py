"""The task catalogue: what the paper and others judge encoders on, where it lies, and what was published about it."""

from .catalogue import load_tasks, task_named
from .published import Published, published_scores
from .rows import TaskRows, read_task
from .task import Part, Task

__all__ = ["Part", "Published", "Task", "TaskRows", "load_tasks", "published_scores", "read_task", "task_named"]
