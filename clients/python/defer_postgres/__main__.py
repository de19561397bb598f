"""The worker as a command: python -m defer_postgres MODULE ..."""
import argparse
import importlib
import logging
import os
import signal
import sys

from .errors import DeferError
from .tasks import registry
from .worker import Worker


def main():
    parser = argparse.ArgumentParser(prog='python -m defer_postgres', description='Runs the tasks of modules.', epilog='''
        SIGTERM and SIGINT: takes no more jobs, lets those that run end, and exits. Python can end no thread: jobs that
        take longer than --grace are given back, and the process exits.''')
    parser.add_argument('modules', nargs='+', metavar='MODULE', help='declares tasks, such as shop.tasks')
    parser.add_argument('--database', default=os.environ.get('DATABASE_URL', ''), help='instead of DATABASE_URL, PGHOST and the like')
    parser.add_argument('--concurrency', type=int, default=10, help='jobs at once, each in a thread (10)')
    parser.add_argument('--queue', action='append', help='only jobs of this queue; can be given several times')
    parser.add_argument('--lease', type=float, default=60, metavar='SECONDS', help='a worker that is dead loses its jobs after so long (60)')
    parser.add_argument('--grace', type=float, default=25, metavar='SECONDS', help='for jobs to end after SIGTERM (25)')
    parser.add_argument('--app', help='whose tasks and schedules these are (the first module)')
    parser.add_argument('--version', type=int, default=0, help='of this deploy (0): what a higher one has declared is left alone')
    parser.add_argument('--prune', action='store_true', help='remove schedules that the code does not declare any more')
    parser.add_argument('--name', help='of this worker, for those who look')
    parser.add_argument('--poll', action='store_true', help='look for jobs up to every second, for a pooler in transaction mode')
    parser.add_argument('--once', action='store_true', help='end when there is no job to run')
    parser.add_argument('--log-level', default='info', choices=['debug', 'info', 'warning', 'error'])
    args = parser.parse_args()

    if args.concurrency < 1 or args.lease < 1 or args.grace < 0:
        parser.error('--concurrency and --lease are 1 or more, --grace is not negative')
    logging.basicConfig(level=args.log_level.upper(), format='%(asctime)s %(levelname)s %(message)s')
    sys.path.insert(0, os.getcwd())
    for module in args.modules:
        importlib.import_module(module)
    if not registry:
        raise DeferError('the modules declare no tasks')
    worker = Worker(args.database, registry, concurrency=args.concurrency, lease=args.lease, grace=args.grace,
                    queues=args.queue, name=args.name, poll=args.poll)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    worker.declare(args.app or args.modules[0].split('.')[0], args.version, args.prune)
    if worker.run(once=args.once):
        sys.stderr.flush()
        os._exit(0)     # threads of jobs that were given back


if __name__ == '__main__':
    try:
        main()
    except DeferError as error:
        sys.exit(f'defer_postgres: {error}')
