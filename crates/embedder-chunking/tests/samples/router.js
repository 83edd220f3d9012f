'use strict';

const http = require('http');
const { parse } = require('./path');

const METHODS = ['get', 'post', 'put'];

/**
 * Finds the handler of a request.
 */
class Router extends Map {
  static instances = 0;
  #routes = new Map();

  onError = (error) => {
    console.error(`failed: ${error.message}`);
  };

  constructor(options = {}) {
    super();
    Router.instances += 1;
    this.options = { strict: false, ...options };
  }

  get size() { return this.#routes.size; }

  async handle(request, response) {
    const route = this.#routes.get(parse(request.url)?.path ?? '/');
    if (!route) return this.notFound(response);
    try {
      await route(request, response);
    } catch (error) {
      this.onError(error);
    }
  }
}

Router.prototype.notFound = function notFound(response) {
  response.statusCode = 404;
  response.end();
};

const create = (options) => new Router(options);

function* routes(router) {
  for (const [path, handler] of router) yield { path, handler };
}

(function install() {
  function patch(method) { Router.prototype[method] = /^\/(\w+)$/; }
  METHODS.forEach(patch);
})();

module.exports = { create, listen(port) { return http.createServer().listen(port); } };
module.exports.Router = Router;
