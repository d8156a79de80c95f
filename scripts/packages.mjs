/** The packages in the order of their dependencies: each stands on those before it. */
export const PACKAGES = ['gpu', 'router-kernel', 'models', 'engine'];
