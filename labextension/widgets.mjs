/**
 * Builds the modules of widgets that have a front end of their own, for anywidget: one file each with all it needs.
 */
import { rspack } from '@rspack/core';
import { resolve } from 'node:path';

const compiler = rspack({
  mode: 'production',
  target: ['web', 'es2020'],
  entry: { cohort: ['./style/widget.css', './lib/anywidget/cohort.js'] },
  output: {
    path: resolve('../flipnb/workbench/widgets/static'),
    filename: '[name].js',
    cssFilename: '[name].css',
    module: true,
    library: { type: 'module' },
    clean: true
  },
  module: {
    rules: [
      { test: /\.css$/, type: 'css' },
      // Of Jupyter's packages only what is named goes in: importing them does nothing else.
      {
        test: /node_modules\/@(jupyterlab|lumino)\/.*\.js$/,
        sideEffects: false
      }
    ]
  },
  performance: { hints: false }
});

compiler.run((error, stats) => {
  if (error || stats.hasErrors()) {
    console.error(error ?? stats.toString({ colors: false }));
    process.exitCode = 1;
  } else {
    console.log(stats.toString({ colors: false, modules: false }));
  }
  compiler.close(() => undefined);
});
