import { describeSoftwareContract } from './software-contract.ts';

describeSoftwareContract('smoke', 2000);
