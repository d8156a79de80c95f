/** The contract suite: what every router must answer, and the comparison with the reference. Runs in browsers too. */

export { compareOutput, WEIGHT_ABSOLUTE_TOLERANCE, WEIGHT_RELATIVE_TOLERANCE } from './compare-output.ts';
export type { Comparison } from './compare-output.ts';
export { contractCases, SUITE_LEVELS } from './contract-cases.ts';
export type { ContractCall, ContractCase, SuiteLevel } from './contract-cases.ts';
export { runContractSuite } from './run-contract-suite.ts';
export type {
  ContractFailure,
  ContractSuiteOptions,
  ContractSuiteResult,
  RouterFactory,
} from './run-contract-suite.ts';
export { compareGatedOutput } from './compare-gate.ts';
export type { GateComparison } from './compare-gate.ts';
export { gateCases } from './gate-cases.ts';
export type { GateCall, GateCase } from './gate-cases.ts';
export { runGateSuite } from './run-gate-suite.ts';
export type { GatedRouterFactory, GateSuiteOptions, GateSuiteResult } from './run-gate-suite.ts';
