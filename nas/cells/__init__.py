"""Networks of cells, as SNASNet and those after it search them.

`cell` is what is searched, `macro` what stands around it; closed forms of both need no torch.
"""
