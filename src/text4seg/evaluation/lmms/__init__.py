"""A plugin of lmms-eval: does a model that learned to segment still answer questions?

lmms-eval --model qwen2_5_vl --model_args pretrained=FOLDER --tasks text4seg_vqa \
    --include_path "$(python -c 'import text4seg.evaluation.lmms.tasks as t; print(*t.__path__)')"

lmms-eval looks for a plugin's tasks in `tasks/` and for its models in `models.py`; 0.7.3 lists the
tasks before it looks at `LMMS_EVAL_PLUGINS`, so the folder has to be named as well. A fine-tuned
model is run by lmms-eval's own class for its family; VQAv2, GQA and POPE are tasks of its own. The
task here asks the questions of `vqa.jsonl` in the working folder.
"""

from __future__ import annotations
