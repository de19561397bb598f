"""Background functions and cron on PostgreSQL, with the extension defer. See README.md."""
from .context import current
from .errors import DeferError, Fail, JobFailed, Release, Stop
from .results import Results
from .tasks import Task, cron, enqueue, task, trigger
from .worker import Worker

__all__ = ['DeferError', 'Fail', 'JobFailed', 'Release', 'Results', 'Stop', 'Task', 'Worker', 'cron', 'current', 'enqueue',
           'task', 'trigger']
