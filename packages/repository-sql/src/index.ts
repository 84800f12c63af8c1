/** The package’s public modules. */
