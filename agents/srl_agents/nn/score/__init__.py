"""Log-probabilities of token trees under a Hugging Face causal language model.

``make_decoder(model).token_logprobs(trunks, branches)`` computes each shared beginning
once; ``decoder.score(tree)`` is the same on padded tensors, with any choice of tokens.
"""

from srl_agents.nn.score.choice import make_decoder
from srl_agents.nn.score.decoder import Decoder, TokenScores
from srl_agents.nn.score.plain import GenericDecoder
from srl_agents.nn.score.shared_prefix import FunctionalDecoder
from srl_agents.nn.tree import Branch, TokenTree, shared_trunks, tree_of

__all__ = [
    "Branch",
    "Decoder",
    "FunctionalDecoder",
    "GenericDecoder",
    "TokenScores",
    "TokenTree",
    "make_decoder",
    "shared_trunks",
    "tree_of",
]
