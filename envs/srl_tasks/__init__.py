"""The task environments that ship with srl-env; importing this package loads none of them."""

ENVIRONMENTS = {
    "srl/ModularChain-v0": "srl_tasks.generated.modular_chain:ModularChainEnv",
    "srl/DefinitionGraph-v0": "srl_tasks.generated.definition_graph:DefinitionGraphEnv",
    "srl/WordProblem-v0": "srl_tasks.generated.word_problem:WordProblemEnv",
    "srl/ColumnArithmetic-v0": "srl_tasks.generated.column_arithmetic:ColumnArithmeticEnv",
    "srl/ToolShop-v0": "srl_tasks.generated.tool_shop:ToolShopEnv",
    "srl/GSM8K-v0": "srl_tasks.recorded.gsm8k:GSM8KEnv",
    "srl/NumberedSolutions-v0": "srl_tasks.recorded.numbered_solutions:NumberedSolutionsEnv",
    "srl/Steps-v0": "srl_tasks.recorded.steps:StepsEnv",
    "srl/ReasoningGym-v0": "srl_tasks.adapters.reasoning_gym:ReasoningGymEnv",
    "srl/GEM-v0": "srl_tasks.adapters.gem:GEMEnv",
    "srl/OpenEnv-v0": "srl_tasks.adapters.openenv:OpenEnvEnv",
    "srl/SWE-v0": "srl_tasks.swe.env:SWEEnv",
}
