"""`python -m tests.reference.fsdp_on_cpu train …`: text4seg's command line with FSDP on CPUs.

accelerate takes up FSDP only where it finds GPUs; processes of CPUs get DDP instead, in silence.
torch itself shards on CPUs, too, over gloo. So accelerate is told here that these are GPUs'
processes; their device stays the CPU.
"""

from __future__ import annotations

from typing import Any

from accelerate.state import PartialState
from accelerate.utils import DistributedType

from text4seg.cli import main

_plain = PartialState.__init__


def _taken_for_gpus(self: PartialState, cpu: bool = False, **settings: Any) -> None:
    _plain(self, cpu, **settings)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


if __name__ == "__main__":
    PartialState.__init__ = _taken_for_gpus
    raise SystemExit(main())
