"""The logits that Hugging Face transformers computes for one prompt, in f32, MXFP4 unpacked.

transformers_logits.py CHECKPOINT IDS OUT: IDS is a file of token ids (JSON), OUT gets the logits, f32 [tokens, vocabulary].
Prints what computed them, as one JSON object.
"""

import json
import sys

import torch
import transformers

checkpoint, ids_file, out = sys.argv[1:4]
device = "cuda" if torch.cuda.is_available() else "cpu"
# Products of f32 in f32, not in the 19 bits of tf32.
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
model = transformers.GptOssForCausalLM.from_pretrained(
    checkpoint,
    quantization_config=transformers.Mxfp4Config(dequantize=True),
    dtype=torch.float32,
    attn_implementation="eager",
)
model = model.to(device).eval().float()
with open(ids_file) as file:
    ids = torch.tensor([json.load(file)], device=device)
with torch.no_grad():
    logits = model(input_ids=ids, use_cache=False).logits[0].float().cpu().contiguous()
logits.numpy().tofile(out)
name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
print(json.dumps({"transformers": transformers.__version__, "torch": torch.__version__, "device": name}))
