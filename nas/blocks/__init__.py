"""Networks of blocks, as AutoSNN searches them: blocks, macro network, super-network, training.

B. Na et al., "AutoSNN: towards energy-efficient spiking neural networks", ICML 2022.
"""
