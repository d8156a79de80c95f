import { describeSoftwareContract } from './software-contract.ts';

// Every third case by each path; the slow level has all of the next level by both.
describeSoftwareContract('smoke', 600, 3);
