import { describeSoftwareContract } from './software-contract.ts';

describeSoftwareContract('quick', 40_000);
